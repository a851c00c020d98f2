"""ops/deploy/kubernetes.yaml: what can be held against it without a cluster."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from oppsync_worker import settings as settings_module
from oppsync_worker.observe.beat import STALE_AFTER_S
from oppsync_worker.settings import Settings
from oppsync_worker.version import release
from stage import BIN, Worker, eventually

ROOT = Path(__file__).parents[2]
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


@pytest.fixture(scope="module")
def deployment() -> dict[str, Any]:
    """The document."""
    (one,) = yaml.safe_load_all((ROOT / "ops" / "deploy" / "kubernetes.yaml").read_text("utf-8"))
    return dict(one)


@pytest.fixture
def pod(deployment: dict[str, Any]) -> dict[str, Any]:
    """Its pod."""
    return dict(deployment["spec"]["template"]["spec"])


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    """Its only container."""
    (one,) = pod["containers"]
    return dict(one)


def keys_of(node: Any) -> Iterator[str]:
    """Every key of a document."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from keys_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from keys_of(value)


def test_it_is_a_deployment_that_finds_its_own_pods(deployment: dict[str, Any]) -> None:
    """Selector and labels agree; a rollout takes no worker away before its successor is ready."""
    spec = deployment["spec"]

    assert (deployment["apiVersion"], deployment["kind"]) == ("apps/v1", "Deployment")
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_a_warm_stop_has_the_time_it_needs(pod: dict[str, Any]) -> None:
    """Longer than the pool waits for its calls, and then for its loop to close."""
    from oppsync_worker.engine.loop import STOP_PATIENCE_S as LOOP_S  # noqa: PLC0415 - brings Celery along
    from oppsync_worker.engine.pool import STOP_PATIENCE_S as CALLS_S  # noqa: PLC0415

    assert pod["terminationGracePeriodSeconds"] > CALLS_S + LOOP_S


def test_it_runs_with_no_right_that_it_does_not_need(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """The image's own user, no writable root, no capabilities, no token of the cluster's."""
    dockerfile = (ROOT / "ops" / "deploy" / "Dockerfile").read_text("utf-8")

    assert f"--uid {pod['securityContext']['runAsUser']}" in dockerfile
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_every_place_that_is_written_to_or_read_is_mounted(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """The beat's folder, on a root that is read-only; the instances' file."""
    environ = {one["name"]: one.get("value") for one in container["env"]}
    mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
    volumes = {one["name"]: one for one in pod["volumes"]}

    assert "emptyDir" in volumes[mounts["/tmp"]]  # noqa: S108 - of a container
    assert Path(environ["OPPSYNC_HEALTH_DIR"] or "").parent == Path("/tmp")  # noqa: S108
    (item,) = volumes[mounts["/etc/oppsync"]]["secret"]["items"]
    assert environ["SPRINTHUB_INSTANCES_FILE"] == f"/etc/oppsync/{item['path']}"


def test_secrets_stand_in_secrets_only(container: dict[str, Any]) -> None:
    """By reference."""
    for one in container["env"]:
        if one["name"] in {"REDIS_URL", "SENTRY_DSN", "SPRINTHUB_API_TOKEN"}:
            assert "value" not in one
            assert one["valueFrom"]["secretKeyRef"]["name"] == "oppsync"


def test_its_settings_are_settings(container: dict[str, Any], tmp_path: Path) -> None:
    """Every variable is read by somebody, and its value is taken."""
    (tmp_path / "instances.toml").write_text('[acme]\ntoken = "t"\n', "utf-8")
    environ = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    environ["SPRINTHUB_INSTANCES_FILE"] = str(tmp_path / "instances.toml")

    assert all(one["name"] in str(settings_module.__doc__) for one in container["env"])
    settings = Settings.from_environ(environ)
    assert settings.watchdog_seconds == 120
    assert settings.instances.keys() == {"acme"}


def test_the_image_is_of_this_version(container: dict[str, Any]) -> None:
    """The tag is the release."""
    assert container["image"] == f"opportunity-sync:{release()}"


def test_life_needs_no_redis_and_is_given_up_later_than_the_watchdog_acts(container: dict[str, Any]) -> None:
    """Who hangs ends himself and says why; the kubelet is the second net."""
    live = container["livenessProbe"]
    (watchdog,) = [float(one["value"]) for one in container["env"] if one["name"] == "OPPSYNC_WATCHDOG_SECONDS"]

    assert live["exec"]["command"] == ["oppsync", "health", "--live"]
    assert live["periodSeconds"] * live["failureThreshold"] + STALE_AFTER_S > watchdog
    assert container["readinessProbe"]["exec"]["command"] == ["oppsync", "health", "--ready"]
    assert set(keys_of(container)).isdisjoint({"httpGet", "tcpSocket"})


def test_a_readiness_probe_outlasts_a_redis_that_does_not_answer(container: dict[str, Any]) -> None:
    """So that the reason is told, and not a time-out."""
    from oppsync_worker.ledger.connect import ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S  # noqa: PLC0415

    assert container["readinessProbe"]["timeoutSeconds"] > ANSWER_TIMEOUT_S + CONNECT_TIMEOUT_S


@pytest.mark.parametrize("probe", PROBES)
def test_every_probe_says_yes_beside_a_worker_that_is_well(
    container: dict[str, Any], worker: Callable[..., Worker], probe: str
) -> None:
    """The very command, within its time."""
    command = container[probe]["exec"]["command"]
    process = worker()

    def answer() -> int:
        return subprocess.run(
            [BIN / command[0], *command[1:]],
            env={**os.environ, **process.environ},
            capture_output=True,
            check=False,
            timeout=container[probe]["timeoutSeconds"],
        ).returncode

    assert eventually(lambda: answer() == 0)

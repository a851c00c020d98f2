"""docker-compose.yml: what can be held against it without an engine."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from oppsync_ops.redis_server import free_port, server_program
from oppsync_ops.simulator import HostedSimulator
from stage import BIN, eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The file's services, merge keys resolved."""
    whole = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    return dict(whole["services"])


def test_redis_keeps_every_write_and_evicts_nothing(services: dict[str, Any], tmp_path: Path) -> None:
    """Its command is taken by a real server."""
    command = services["redis"]["command"]

    pairs = dict(zip(command[1::2], command[2::2], strict=True))
    assert pairs["--appendonly"] == "yes"
    assert pairs["--appendfsync"] == "always"
    assert pairs["--maxmemory-policy"] == "noeviction"
    port = free_port()
    server = subprocess.Popen(
        [server_program(), *command[1:], "--dir", str(tmp_path), "--port", str(port), "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
    )
    try:
        with redis.Redis(port=port) as client:
            eventually(lambda: answers(client))
            assert client.config_get("append*")["appendfsync"] == "always"
    finally:
        server.terminate()
        server.wait(10)


def answers(client: redis.Redis) -> bool:
    """Whether the server is up."""
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.mark.parametrize("service", ["redis", "worker", "simulator", "dry-run"])
def test_every_service_restarts_and_says_how_it_is(services: dict[str, Any], service: str) -> None:
    """Restart policy and health check."""
    assert services[service]["restart"] == "unless-stopped"
    assert services[service]["healthcheck"]["test"]


@pytest.mark.parametrize("service", ["worker", "simulator", "dry-run"])
def test_every_command_exists(services: dict[str, Any], service: str) -> None:
    """With the very options."""
    command = services[service]["command"]
    options = [word for word in command if word.startswith("--")]

    help_text = subprocess.run(
        [BIN / command[0], command[1], "--help"], capture_output=True, text=True, check=True
    ).stdout

    assert all(option in help_text for option in options)


def test_a_warm_stop_has_the_time_it_needs(services: dict[str, Any]) -> None:
    """Longer than the pool waits for its calls."""
    from oppsync_worker.engine.pool import STOP_PATIENCE_S  # noqa: PLC0415 - brings Celery along

    assert float(services["worker"]["stop_grace_period"].removesuffix("s")) > STOP_PATIENCE_S


def test_a_worker_that_hangs_is_started_afresh(services: dict[str, Any]) -> None:
    """The watchdog is on, what it ends is restarted, and the beat has a place on a root that is read-only."""
    worker = services["worker"]

    assert worker["environment"]["OPPSYNC_WATCHDOG_SECONDS"] == "${OPPSYNC_WATCHDOG_SECONDS:-120}"
    assert worker["restart"] == "unless-stopped"
    assert worker["read_only"] is True
    assert worker["tmpfs"] == ["/tmp"]  # noqa: S108 - of a container
    assert worker["healthcheck"]["test"] == ["CMD", "oppsync", "health"]


def test_the_worker_can_be_scaled(services: dict[str, Any]) -> None:
    """No fixed name, no fixed port."""
    assert not {"container_name", "ports"} & set(services["worker"])


def test_a_dry_run_reaches_nothing_real(services: dict[str, Any]) -> None:
    """It knows the simulator alone, whatever stands in `.env`; neither it nor a real worker takes the other's jobs."""
    environment = services["dry-run"]["environment"]

    assert not any("$" in str(value) for value in environment.values())
    assert environment["SPRINTHUB_BASE_URL"] == "http://simulator:8080"
    assert services["simulator"]["command"][-1] == "8080"
    assert environment["REDIS_URL"] not in services["worker"]["environment"]["REDIS_URL"]
    assert services["dry-run"]["profiles"] == services["simulator"]["profiles"]
    assert set(services["dry-run"]["depends_on"]) == {"redis", "simulator"}
    assert "volumes" not in services["dry-run"]


def test_a_dry_run_delivers_to_the_simulator(
    services: dict[str, Any], crm: HostedSimulator, redis_url: str, tmp_path: Path
) -> None:
    """With the very settings, but for the addresses; the simulator takes its token."""
    environment = {**services["dry-run"]["environment"], "REDIS_URL": redis_url, "SPRINTHUB_BASE_URL": crm.url}
    bare = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), **environment}
    worker = subprocess.Popen([BIN / "oppsync", "worker"], env=bare, cwd=tmp_path, stdout=subprocess.DEVNULL)
    words = "enqueue create --instance acme --funnel-id 7 --title Deal --crm-column 130 --lead-id 1 --wait 30"
    try:
        done = subprocess.run(
            [BIN / "oppsync", *words.split()], env=bare, cwd=tmp_path, capture_output=True, text=True, check=False
        )
    finally:
        worker.terminate()
        worker.wait(30)

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(crm.records("acme")) == 1
    assert words.split(" --lead", maxsplit=1)[0] in (ROOT / "docker-compose.yml").read_text("utf-8")

"""`oppsync health` as Kubernetes and Docker ask it."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from click.testing import Result
from pydantic import SecretStr

from integration.cli.lives import Command
from oppsync import CreateOpportunity, JobClient, State
from oppsync_ops.proxy import proxied
from oppsync_ops.redis_server import RedisServer, url_at
from oppsync_ops.simulator import HostedSimulator
from oppsync_worker.instances import InstanceSettings
from oppsync_worker.ledger import keys, operating
from oppsync_worker.ledger.scripts import run
from oppsync_worker.observe import beat
from oppsync_worker.settings import fingerprint
from stage import Worker, eventually


@pytest.fixture
def asked(command: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Asks beside a worker, in its environment."""

    def ask(process: Worker, *options: str) -> Result:
        for name in ("REDIS_URL", "OPPSYNC_HEALTH_DIR"):
            monkeypatch.setenv(name, process.environ[name])
        return command("health", *options)

    return ask


def test_a_worker_is_live_and_ready_and_then_gone(worker: Callable[..., Worker], asked: Callable[..., Result]) -> None:
    """A clean stop leaves nothing behind."""
    process = worker()
    eventually(lambda: asked(process).exit_code == 0)

    told = asked(process).output
    assert told.startswith("live and ready: ")
    assert process.process is not None
    assert f":{process.process.pid}" in told
    assert process.stop() == 0
    gone = asked(process)
    assert gone.exit_code == 1
    assert f"no worker of this machine has a beat in {process.environ['OPPSYNC_HEALTH_DIR']}" in gone.stderr
    assert list(Path(process.environ["OPPSYNC_HEALTH_DIR"]).iterdir()) == []


def test_the_answer_as_json(worker: Callable[..., Worker], asked: Callable[..., Result]) -> None:
    """Ages, counts, no secrets."""
    process = worker()
    eventually(lambda: asked(process).exit_code == 0)

    told = json.loads(asked(process, "--json").stdout)
    live = json.loads(asked(process, "--live", "--json").stdout)

    assert (told["live"], told["ready"], told["problems"]) == (True, True, [])
    (one,) = told["workers"]
    assert one["instances"] == 2
    assert 0 <= one["beat_seconds_ago"] < 20
    assert one["polled_seconds_ago"] >= 0
    assert (live["live"], live["ready"]) == (True, None)
    everything = json.dumps(told) + "".join(
        file.read_text("utf-8") for file in Path(process.environ["OPPSYNC_HEALTH_DIR"]).iterdir()
    )
    assert "token" not in everything


def test_an_outage_of_redis_takes_readiness_and_not_life(
    worker: Callable[..., Worker], asked: Callable[..., Result], session_redis: RedisServer
) -> None:
    """Nobody must kill a worker in the middle of its calls because Redis is away."""
    with proxied(session_redis.port) as proxy:
        process = worker(REDIS_URL=url_at(proxy.port))
        eventually(lambda: asked(process).exit_code == 0)

        proxy.refuse()

        unready = asked(process, "--ready")
        assert unready.exit_code == 1
        assert "Redis is not answering" in unready.stderr
        eventually(lambda: "ledger_unavailable" in process.said())
        assert asked(process, "--live").exit_code == 0
        assert asked(process).exit_code == 1
        proxy.flow()
        eventually(lambda: asked(process).exit_code == 0)


def test_life_is_told_without_redis_and_without_loading_it(
    worker: Callable[..., Worker], asked: Callable[..., Result]
) -> None:
    """A probe that runs every few seconds must cost next to nothing."""
    process = worker()
    eventually(lambda: asked(process, "--live").exit_code == 0)
    code = (
        "import sys\nfrom oppsync_ops.cli.root import oppsync\n"
        "try:\n    oppsync.main(['health', '--live'], 'oppsync')\n"
        "except SystemExit as end:\n"
        "    print(end.code, sorted({'redis', 'pydantic', 'celery', 'httpx', 'asyncio'} & set(sys.modules)))"
    )
    bare = {**process.environ, "REDIS_URL": ""}

    done = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "0 []"


def test_refused_credentials_of_all_instances_take_readiness(
    worker: Callable[..., Worker], asked: Callable[..., Result], ledger: redis.Redis
) -> None:
    """Of one instance they do not; the line says which are refused."""
    process = worker()
    eventually(lambda: asked(process).exit_code == 0)

    def refuse(instance: str, token: str) -> None:
        run(ledger, operating.hold(instance, cause="credential", note="401"))
        # Or the next announcement would take the worker's token for a new one, and lift the hold.
        known = InstanceSettings(name=instance, token=SecretStr(token))
        ledger.hset(keys.hold(instance), "fingerprint", fingerprint(known))

    refuse("acme", "acme-token-1234")
    assert asked(process, "--ready").exit_code == 0
    run(ledger, operating.hold("globex", cause="operator", note="paused"))
    assert asked(process, "--ready").exit_code == 0
    refuse("globex", "globex-token-5678")

    unready = asked(process, "--ready")
    assert unready.exit_code == 1
    assert "every instance is on hold for a bad credential (acme, globex)" in unready.stderr
    assert asked(process, "--live").exit_code == 0


def test_a_worker_that_lets_its_calls_end_is_live_and_not_ready(
    worker: Callable[..., Worker], asked: Callable[..., Result], client: JobClient, crm: HostedSimulator
) -> None:
    """Kubernetes sends it nothing more, and must not kill it either."""
    crm.configure(latency_ms=8000)
    process = worker()
    job = client.enqueue(CreateOpportunity(instance="acme", funnel_id=7, title="T", crm_column=130, lead_id=1))
    eventually(lambda: client.outcome(job).state == State.SENDING)
    assert process.process is not None

    process.process.send_signal(signal.SIGTERM)

    eventually(lambda: "was told to stop" in asked(process, "--ready").stderr)
    assert asked(process, "--live").exit_code == 0
    assert process.process.wait(30) == 0
    assert client.outcome(job).state == State.SUCCEEDED


def test_a_beat_that_is_old_is_no_life(
    worker: Callable[..., Worker], asked: Callable[..., Result], tmp_path: Path
) -> None:
    """Of a process that is there, and stands still."""
    process = worker(OPPSYNC_HEALTH_DIR=str(tmp_path / "beats"))
    eventually(lambda: asked(process, "--live").exit_code == 0)
    (before,) = beat.read_all(tmp_path / "beats")
    assert process.process is not None
    process.process.send_signal(signal.SIGSTOP)
    told = json.loads((tmp_path / "beats" / f"{before.pid}.json").read_text("utf-8"))
    told["at"] = time.monotonic() - 30
    (tmp_path / "beats" / f"{before.pid}.json").write_text(json.dumps(told), "utf-8")

    dead = asked(process, "--live")

    assert dead.exit_code == 1
    assert "has not beaten for 30 s" in dead.stderr
    process.process.send_signal(signal.SIGCONT)
    eventually(lambda: asked(process, "--live").exit_code == 0)


def test_what_a_killed_worker_left_behind_is_not_believed(
    worker: Callable[..., Worker], asked: Callable[..., Result]
) -> None:
    """However young; and it is taken away."""
    process = worker()
    eventually(lambda: asked(process, "--live").exit_code == 0)

    process.kill()

    assert asked(process, "--live").exit_code == 1
    assert list(Path(process.environ["OPPSYNC_HEALTH_DIR"]).iterdir()) == []


def test_readiness_without_an_address_of_redis_is_a_wrong_use(
    bare_command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Exit code 2, as everywhere; life can be asked for all the same."""
    monkeypatch.setenv("OPPSYNC_HEALTH_DIR", str(tmp_path))

    assert bare_command("health", "--ready").exit_code == 2
    assert bare_command("health", "--live").exit_code == 1
    assert bare_command("health", "--alive").exit_code == 2

"""Starting a worker: wrong settings end it with one line each; a Redis that is away does not."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from oppsync import CreateOpportunity, JobClient, State
from oppsync_ops import redis_server
from oppsync_ops.simulator import HostedSimulator
from stage import BIN, Worker, eventually

COMMANDS = [
    [str(BIN / "celery"), "-A", "oppsync_worker.app", "worker"],
    [str(BIN / "oppsync"), "worker"],
]
RIGHT = {"REDIS_URL": "redis://127.0.0.1:1/0", "SPRINTHUB_INSTANCE": "acme", "SPRINTHUB_API_TOKEN": "s3cr3t"}


@pytest.mark.parametrize("command", COMMANDS, ids=["celery", "oppsync"])
@pytest.mark.parametrize(
    ("wrong", "lines"),
    [
        (
            {"SPRINTHUB_INSTANCE": "", "OPPSYNC_CONCURRENCY": "many"},
            ["SPRINTHUB_INSTANCE is not set", "OPPSYNC_CONCURRENCY: must be a valid integer"],
        ),
        ({"REDIS_URL": "http://127.0.0.1/"}, ["REDIS_URL must begin with redis://"]),
        ({"REDIS_URL": "redis://:s3cr3t#x@127.0.0.1/0"}, ["REDIS_URL is not a Redis address"]),
        ({"REDIS_URL": "redis://[::1/0"}, ["REDIS_URL is not a Redis address"]),
        ({"REDIS_URL": "redis://127.0.0.1/0?foo=bar"}, ["REDIS_URL is not a Redis address"]),
        ({"SPRINTHUB_BASE_URL": "nowhere"}, ["base_url (SPRINTHUB_BASE_URL)"]),
        ({"SENTRY_DSN": "nonsense"}, ["SENTRY_DSN"]),
    ],
)
def test_wrong_settings_end_it_with_a_line_each(
    command: list[str], wrong: dict[str, str], lines: list[str], tmp_path: Path
) -> None:
    """Exit code 2, no traceback, no secret."""
    done = subprocess.run(
        command,
        env={"PATH": str(BIN), **RIGHT, **wrong},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if line.startswith("oppsync: ")]
    assert len(said) == len(lines)
    for line, expected in zip(sorted(said), sorted(lines), strict=True):
        assert expected in line
    assert "Traceback" not in done.stderr + done.stdout
    assert "s3cr3t" not in done.stderr + done.stdout


def deal(number: int) -> CreateOpportunity:
    """A create."""
    return CreateOpportunity(instance="acme", funnel_id=7, title="D", crm_column=130, lead_id=number + 1)


def test_a_worker_waits_for_a_redis_that_is_away(crm: HostedSimulator, tmp_path: Path) -> None:
    """Absent at the start; gone and back in the middle."""
    port = redis_server.free_port()
    url = redis_server.url_at(port)
    worker = Worker(redis_url=url, crm_url=crm.url, folder=tmp_path).start()
    server = None
    try:
        eventually(lambda: "not answering" in worker.said() or "Cannot connect" in worker.said())
        server = redis_server.start(tmp_path / "redis", port=port)
        with JobClient(url) as client:
            assert client.wait(client.enqueue(deal(1)), timeout_s=30).state == State.SUCCEEDED

            server.kill()
            eventually(lambda: worker.said().count("ledger_unavailable") > 2)
            server = redis_server.start(tmp_path / "redis", port=port)

            assert client.wait(client.enqueue(deal(2)), timeout_s=60).state == State.SUCCEEDED
        assert worker.running
        assert worker.stop() == 0
        assert len(crm.records("acme")) == 2
    finally:
        if worker.running:
            worker.kill()
        if server:
            server.stop()


@pytest.mark.parametrize("trouble", ["read-only", "out of memory"])
def test_a_worker_outlives_a_redis_that_refuses_writes(crm: HostedSimulator, tmp_path: Path, trouble: str) -> None:
    """It goes on when the trouble is over; nothing is doubled."""
    with redis_server.running(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as admin:
        worker = Worker(redis_url=server.url, crm_url=crm.url, folder=tmp_path).start()
        try:
            with JobClient(server.url) as client:
                crm.configure(latency_ms=300)
                client.wait(client.enqueue(deal(0)), timeout_s=30)
                jobs = client.enqueue_many(deal(number) for number in range(1, 40))
                eventually(lambda: any(one.state == State.SENDING for one in client.outcomes(jobs)))

                if trouble == "read-only":
                    admin.replicaof("127.0.0.1", "1")
                else:
                    admin.config_set("maxmemory", "1")
                eventually(lambda: "ledger_unavailable" in worker.said())
                admin.replicaof("NO", "ONE")
                admin.config_set("maxmemory", "0")

                eventually(lambda: all(one.state == State.SUCCEEDED for one in client.outcomes(jobs)), within_s=60)
            assert crm.counters()["instances"]["acme"]["duplicates"] == 0
            assert len(crm.records("acme")) == 40
        finally:
            worker.kill()


def test_a_worker_takes_up_what_was_enqueued_before_it(client: JobClient, worker: Callable[..., Worker]) -> None:
    """Nothing is lost between a producer and the first worker."""
    job = client.enqueue(deal(1))
    worker()

    assert client.wait(job, timeout_s=30).state == State.SUCCEEDED


@pytest.fixture
def socket_url(tmp_path: Path) -> Iterator[str]:
    """The address of a server's unix socket. The paths of sockets are short."""
    with tempfile.TemporaryDirectory(prefix="oppsync-") as folder:
        path = Path(folder) / "redis.sock"
        (tmp_path / "redis").mkdir()
        server = redis_server.spawn(
            redis_server.server_program(),
            tmp_path / "redis",
            port=redis_server.free_port(),
            more=("--unixsocket", str(path), "--unixsocketperm", "700"),
        )
        try:
            eventually(path.is_socket)
            who = urlsplit(server.url)
            yield f"unix://{who.username}:{who.password}@{path}"
        finally:
            server.stop()


def test_redis_may_be_a_socket(crm: HostedSimulator, tmp_path: Path, socket_url: str) -> None:
    """For producer, worker and command alike; Celery's banner says where, and nothing of the password."""
    process = Worker(redis_url=socket_url, crm_url=crm.url, folder=tmp_path).start()
    try:
        with JobClient(socket_url) as client:
            assert client.wait(client.enqueue(deal(1)), timeout_s=30).state == State.SUCCEEDED
        status = subprocess.run(
            [BIN / "oppsync", "status"], env=process.environ, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert status.returncode == 0, status.stderr
        assert process.stop() == 0
    finally:
        if process.running:
            process.kill()
    assert str(urlsplit(socket_url).password) not in process.said()
    assert "redis.sock" in process.said()

"""A worker that is started where its promises do not hold says so, and refuses where it was told to."""

import contextlib
import json
import os
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from oppsync import CreateOpportunity, JobClient, State
from oppsync_ops import redis_server
from oppsync_ops.proxy import proxied
from oppsync_ops.redis_server import RedisServer
from oppsync_ops.simulator import HostedSimulator
from stage import BIN, Worker, eventually


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of its own, to be set wrongly."""
    with redis_server.running(tmp_path / "redis") as one:
        yield one


def set_to(server: RedisServer, **settings: str) -> None:
    """Change its settings."""
    with Redis.from_url(server.url) as admin:
        for name, value in settings.items():
            admin.config_set(name.replace("_", "-"), value)


def limit(server: RedisServer, *rules: str) -> str:
    """A user who may do everything but what the rules take away; its address."""
    with Redis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "limited", "on", ">pw", "~*", "&*", "+@all", *rules)
    return f"redis://limited:pw@127.0.0.1:{server.port}/0"


def told(worker: Worker) -> dict[str, str]:
    """The warnings in its log, by name."""
    lines = [json.loads(line) for line in worker.said().splitlines() if line.startswith("{")]
    return {line["what"]: line["detail"] for line in lines if line.get("event") == "unsafe"}


def health(worker: Worker) -> dict[str, object]:
    """What `oppsync health --json` says beside it."""
    command = [sys.executable, "-m", "oppsync_ops.cli.main", "health", "--json"]
    done = subprocess.run(command, env=worker.environ, capture_output=True, text=True, check=False)
    return dict(json.loads(done.stdout))


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "no_append_only_file": ({"appendonly": "no"}, "set appendonly yes"),
    "append_fsync": ({"appendfsync": "everysec"}, "set appendfsync always"),
    "eviction": ({"maxmemory_policy": "allkeys-lru"}, "set maxmemory-policy noeviction"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_redis_that_may_lose_jobs_is_told(
    server: RedisServer, crm: HostedSimulator, tmp_path: Path, name: str
) -> None:
    """At the start, once, and in the answers of health and status; jobs are delivered all the same."""
    settings, remedy = WRONG[name]
    set_to(server, **settings)
    worker = Worker(redis_url=server.url, crm_url=crm.url, folder=tmp_path).start()
    try:
        with JobClient(server.url) as client:
            job = client.enqueue(CreateOpportunity(instance="acme", funnel_id=7, title="D", crm_column=130, lead_id=1))
            assert client.wait(job, timeout_s=30).state == State.SUCCEEDED
        assert list(told(worker)) == [name]
        assert remedy in told(worker)[name]
        eventually(lambda: health(worker)["ready"] is True, what="a worker that is ready all the same")
        (warning,) = health(worker)["warnings"]  # type: ignore[misc]
        assert remedy in warning
    finally:
        worker.kill()


def refused(redis_url: str, crm_url: str, folder: Path, **environ: str) -> list[str]:
    """A worker that must not start: its sentences."""
    own = Path(tempfile.mkdtemp(dir=folder))
    worker = Worker(redis_url=redis_url, crm_url=crm_url, folder=own, environ=environ).start()
    try:
        assert worker.process is not None
        assert worker.process.wait(40) == 2, worker.said()
    finally:
        if worker.running:
            worker.kill()
    assert "Traceback" not in worker.said()
    assert "worker_ready" not in worker.said()
    return [line for line in worker.said().splitlines() if line.startswith("oppsync: ")]


REQUIRED = {"OPPSYNC_REQUIRE_DURABLE": "1"}


@pytest.mark.parametrize("name", WRONG)
def test_where_durability_is_required_it_does_not_start(
    server: RedisServer, crm: HostedSimulator, tmp_path: Path, name: str
) -> None:
    """Exit code 2 and the sentence."""
    settings, remedy = WRONG[name]
    set_to(server, **settings)

    (said,) = refused(server.url, crm.url, tmp_path, **REQUIRED)

    assert said.startswith("oppsync: OPPSYNC_REQUIRE_DURABLE is set, and Redis ")
    assert remedy in said


def test_what_cannot_be_told_is_not_taken_for_good(server: RedisServer, crm: HostedSimulator, tmp_path: Path) -> None:
    """Managed servers forbid CONFIG, careful ones INFO: a warning, or the end where durability is required."""
    no_config = limit(server, "-config")
    assert "CONFIG GET is forbidden" in refused(no_config, crm.url, tmp_path, **REQUIRED)[0]
    worker = Worker(redis_url=no_config, crm_url=crm.url, folder=tmp_path).start()
    try:
        eventually(lambda: "worker_ready" in worker.said())
        assert list(told(worker)) == ["append_fsync_unknown"]
    finally:
        worker.kill()
    assert "may not run INFO" in refused(limit(server, "-info"), crm.url, tmp_path, **REQUIRED)[0]


def test_on_a_good_redis_nothing_is_said(server: RedisServer, crm: HostedSimulator, tmp_path: Path) -> None:
    """With and without being required."""
    worker = Worker(redis_url=server.url, crm_url=crm.url, folder=tmp_path, environ=REQUIRED).start()
    try:
        eventually(lambda: "worker_ready" in worker.said())
        eventually(lambda: health(worker)["ready"] is True)
        assert told(worker) == {}
        assert health(worker)["warnings"] == []
        assert worker.stop() == 0
    finally:
        if worker.running:
            worker.kill()


def test_a_crm_in_plain_text_is_told_and_refused(server: RedisServer, tmp_path: Path) -> None:
    """Beyond loopback; the simulator of a laptop is not meant."""
    worker = Worker(redis_url=server.url, crm_url="http://crm.invalid", folder=tmp_path).start()
    try:
        eventually(lambda: "worker_ready" in worker.said())
        assert list(told(worker)) == ["unencrypted_crm"]
        assert "acme, globex" in told(worker)["unencrypted_crm"]
        eventually(lambda: bool(health(worker)["warnings"]))
        assert "over http://" in str(health(worker)["warnings"])
    finally:
        worker.kill()

    (said,) = refused(server.url, "http://crm.invalid", tmp_path, **REQUIRED)

    assert "acme, globex" in said
    assert "https://" in said


@pytest.mark.parametrize("required", [False, True])
def test_a_redis_that_is_away_at_the_start_is_judged_when_it_is_back(
    server: RedisServer, crm: HostedSimulator, tmp_path: Path, *, required: bool
) -> None:
    """Nothing is claimed before where durability is required; elsewhere the warning comes later."""
    set_to(server, appendfsync="everysec")
    with proxied(server.port) as proxy:
        proxy.refuse()
        url = redis_server.url_at(proxy.port)
        environ = REQUIRED if required else {}
        worker = Worker(redis_url=url, crm_url=crm.url, folder=tmp_path, environ=environ).start()
        try:
            eventually(lambda: "not answering" in worker.said() or "Cannot connect" in worker.said())
            assert worker.running
            assert told(worker) == {}
            proxy.flow()
            if required:
                assert worker.process is not None
                assert worker.process.wait(30) == 2
                assert "OPPSYNC_REQUIRE_DURABLE is set" in worker.said()
            else:
                eventually(lambda: list(told(worker)) == ["append_fsync"])
                eventually(lambda: "worker_ready" in worker.said())
        finally:
            if worker.running:
                worker.kill()


def test_a_default_user_without_rights_is_told_where_it_matters(
    server: RedisServer, crm: HostedSimulator, tmp_path: Path
) -> None:
    """Redis 7 and 8 drop transactions that it may not run when they read their file; others do not look."""
    with Redis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "default", "reset")
        said: dict[str, object] = admin.info("server")
    matters = "valkey_version" not in said and not str(said["redis_version"]).startswith("6.")
    worker = Worker(redis_url=server.url, crm_url=crm.url, folder=tmp_path).start()
    try:
        eventually(lambda: "worker_ready" in worker.said())
        assert list(told(worker)) == (["default_user"] if matters else [])
    finally:
        worker.kill()


class Old(socketserver.StreamRequestHandler):
    """A Redis of long ago, as far as a worker that asks for its version can see."""

    def handle(self) -> None:
        """Commands come as arrays of strings."""
        while head := self.rfile.readline():
            words = []
            for _ in range(int(head[1:])):
                length = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(length + 2)[:-2].upper())
            self.wfile.write(self.answer(words))

    def answer(self, words: list[bytes]) -> bytes:
        """INFO tells; the rest is agreed to, or unknown."""
        if words[0] == b"INFO":
            told = b"# Server\r\nredis_version:5.0.14\r\naof_enabled:1\r\nmaxmemory_policy:noeviction\r\n"
            return b"$%d\r\n%s\r\n" % (len(told), told)
        return b"+OK\r\n" if words[0] in {b"AUTH", b"SELECT", b"CLIENT"} else b"-ERR unknown command\r\n"


@contextlib.contextmanager
def old_redis() -> Iterator[int]:
    """Its port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Old) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield listening.server_address[1]
        finally:
            listening.shutdown()
            thread.join(10)


def test_a_redis_that_is_too_old_is_refused(crm: HostedSimulator, tmp_path: Path) -> None:
    """Whatever is required."""
    with old_redis() as port:
        (said,) = refused(f"redis://127.0.0.1:{port}/0", crm.url, tmp_path)

    assert said.startswith("oppsync: Redis 5.0.14 is too old: the ledger's scripts need Redis 6.2")


def test_only_workers_are_asked_for_it(server: RedisServer, tmp_path: Path) -> None:
    """`celery inspect` reads the same app, and must answer whatever Redis is like."""
    set_to(server, appendonly="no")
    environ = {**os.environ, "REDIS_URL": server.url, "SPRINTHUB_INSTANCE": "a", "SPRINTHUB_API_TOKEN": "t", **REQUIRED}

    done = subprocess.run(
        [str(BIN / "celery"), "-A", "oppsync_worker.app", "report"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "OPPSYNC_REQUIRE_DURABLE is set" not in done.stderr

"""The servers of demo, proofs, measurements and tests: whoever started one has every right, everybody else has none."""

import os
import signal
from pathlib import Path

import pytest
import redis

from oppsync import CreateOpportunity, JobClient
from oppsync_ops import redis_server
from oppsync_ops.demo.stage import Stage
from oppsync_ops.redis_server import RedisServer
from stage import eventually


def contents(client: redis.Redis) -> dict[bytes, bytes | None]:
    """Every key, as the server would copy it."""
    return {key: client.dump(key) for key in client.scan_iter()}


def strangers_are_refused(server: RedisServer) -> None:
    """Neither a connection without a password nor a look at the process helps."""
    with redis.Redis(port=server.port) as stranger:
        for command in (("PING",), ("CONFIG", "SET", "dir", "/"), ("EVAL", "return 1", "0")):
            with pytest.raises(redis.AuthenticationError):
                stranger.execute_command(*command)
    told = Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
    for secret in (server.access.app, server.access.admin, server.access.replica):
        assert secret
        assert secret.encode() not in told
        assert secret not in repr(server)


def test_a_temporary_server_is_its_starters_alone(tmp_path: Path) -> None:
    """With the rights of jobs for workers, and every right for tests."""
    with redis_server.running(tmp_path / "redis") as server:
        strangers_are_refused(server)
        with redis.Redis.from_url(server.app_url) as app:
            assert app.set("a", "b")
            with pytest.raises(redis.exceptions.NoPermissionError):
                app.config_set("dir", "/")
        with redis.Redis.from_url(server.url) as admin:
            assert admin.config_set("maxmemory", "0")
            assert admin.execute_command("DEBUG", "SLEEP", "0") == b"OK"
    assert (tmp_path / "redis").stat().st_mode & 0o777 == 0o700


def test_servers_of_one_process_can_be_replicas_of_each_other(tmp_path: Path) -> None:
    """As the faults of a failover need it; a replica's password gives no right but to copy."""
    with redis_server.running(tmp_path / "one") as one, redis_server.running(tmp_path / "two") as two:
        with redis.Redis.from_url(one.url) as first, redis.Redis.from_url(two.url) as second:
            first.set("a", "b")
            second.replicaof("127.0.0.1", str(one.port))

            eventually(lambda: second.get("a") == b"b", what="the copy")
            second.replicaof("NO", "ONE")
        login = {"username": "replica", "password": one.access.replica}
        with redis.Redis(port=one.port, **login) as copying, pytest.raises(redis.exceptions.NoPermissionError):
            copying.set("a", "c")


def test_the_demos_server_is_closed_to_strangers(tmp_path: Path) -> None:
    """What it gives to its worker has the rights of jobs alone."""
    with Stage(tmp_path / "demo") as stage:
        with redis.Redis(port=stage.redis_port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        with redis.Redis.from_url(stage.environ["REDIS_URL"]) as app:
            assert app.ping()
            with pytest.raises(redis.exceptions.NoPermissionError):
                app.config_set("dir", "/")


def test_a_port_is_none_that_outgoing_connections_get() -> None:
    """A server that is away would find its port taken by a client that looks for it."""
    ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(ephemeral.read_text("ascii").split()[0]) if ephemeral.exists() else 32_768

    assert all(redis_server.free_port() < first for _ in range(50))


def test_a_port_that_is_taken_meanwhile_is_no_reason_to_give_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking for one and listening on it there is time for somebody else."""
    with redis_server.running(tmp_path / "first") as first:
        ports = iter([first.port, first.port, redis_server.free_port()])
        monkeypatch.setattr(redis_server, "free_port", lambda: next(ports))

        with redis_server.running(tmp_path / "second") as second:
            assert second.port != first.port


def test_a_server_that_was_killed_comes_back_with_its_data(tmp_path: Path) -> None:
    """At its port, with the same passwords; and what a script has written at once is read again at once."""
    server = redis_server.start(tmp_path / "redis")
    with JobClient(server.app_url) as client, redis.Redis.from_url(server.url) as admin:
        client.enqueue_many(
            CreateOpportunity(instance="acme", funnel_id=7, title="D", crm_column=130, lead_id=lead)
            for lead in range(1, 30)
        )
        before = contents(admin)
    assert len(before) > 29
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()

    again = redis_server.start(tmp_path / "redis", port=server.port)
    try:
        assert again.url == server.url
        with redis.Redis.from_url(again.url) as admin:
            assert contents(admin) == before
    finally:
        again.stop()

"""Redis away, loading, read-only or full: one line on stderr, exit code 1, never a traceback."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from integration.cli.lives import Command, Lives, answer
from oppsync_ops.letters import filters
from oppsync_ops.letters import replay as replaying
from oppsync_ops.redis_server import RedisServer, free_port, running

READING = [
    ("status",),
    ("dead", "list"),
    ("dead", "show", "x"),
    ("dead", "export"),
    ("doubt", "list"),
    ("hold", "list"),
    ("job", "show", "x"),
    ("job", "wait", "x"),
]
WRITING = [
    ("dead", "replay", "x"),
    ("dead", "discard", "x"),
    ("hold", "set", "acme"),
    ("hold", "release", "acme"),
    ("enqueue", "create", "--instance", "acme", "--funnel-id", "7", "--title", "C", "--crm-column", "1"),
]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that a test may ill-treat."""
    with running(tmp_path / "own", fsync="no") as server:
        yield server


@pytest.mark.parametrize("args", [*READING, *WRITING], ids=" ".join)
def test_nobody_listens(bare_command: Command, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]) -> None:
    """The last line says so."""
    monkeypatch.setenv("REDIS_URL", f"redis://user:s3cret@127.0.0.1:{free_port()}/0")

    result = bare_command(*args)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("oppsync: Redis is not answering")
    assert "s3cret" not in result.stderr


@pytest.mark.parametrize("args", [*READING, *WRITING], ids=" ".join)
def test_no_address(bare_command: Command, args: tuple[str, ...]) -> None:
    """Settings are missing: a wrong use, with the two ways out."""
    result = bare_command(*args)

    assert result.exit_code == 2
    assert "`oppsync redis start`" in result.stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1", "redis://127.0.0.1:port/0", "127.0.0.1:6379"])
@pytest.mark.parametrize("args", [("status",), WRITING[-1]], ids=" ".join)
def test_a_wrong_address(
    bare_command: Command, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], url: str
) -> None:
    """A wrong use, not a failure."""
    monkeypatch.setenv("REDIS_URL", url)

    result = bare_command(*args)

    assert result.exit_code == 2
    assert result.stderr.startswith("oppsync: REDIS_URL ")


def test_a_stale_address_of_the_embedded_redis(bare_command: Command) -> None:
    """It is called by its name, with the command that brings it back."""
    Path(".oppsync").mkdir()
    Path(".oppsync/redis.url").write_text(f"redis://127.0.0.1:{free_port()}/0\n", "utf-8")

    result = bare_command("status")

    assert result.exit_code == 1
    assert "the embedded Redis of this directory does not answer: run `oppsync redis start`" in result.stderr


def test_a_replica_can_be_read_and_not_written(
    bare_command: Command, own: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking works; acting says that this is the wrong server."""
    monkeypatch.setenv("REDIS_URL", own.url)
    with Redis.from_url(own.url) as client:
        lives = Lives(client, own.url)
        job_id = lives.dead()
        client.replicaof("127.0.0.1", str(free_port()))

    read = bare_command("dead", "list", "--json")
    written = [bare_command("dead", "replay", job_id), *(bare_command(*args) for args in (WRITING[2], WRITING[4]))]

    assert [letter["job_id"] for letter in answer(read)] == [job_id]
    for result in written:
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1].startswith("oppsync: Redis is read-only: this is a replica")


def test_a_full_redis_can_be_read_and_not_written(
    bare_command: Command, own: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acting says what to do; what was not done can be done later."""
    monkeypatch.setenv("REDIS_URL", own.url)
    with Redis.from_url(own.url) as client:
        job_id = Lives(client, own.url).dead()
        client.config_set("maxmemory", "1mb")
        # Less than an empty server needs, with every policy but noeviction ruled out.
        client.config_set("maxmemory", "1")

        read = bare_command("dead", "list", "--json")
        written = [bare_command("dead", "replay", job_id), bare_command(*WRITING[-1])]
        client.config_set("maxmemory", "0")

    assert [letter["job_id"] for letter in answer(read)] == [job_id]
    for result in written:
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1].startswith("oppsync: Redis is out of memory")
    assert bare_command("dead", "replay", job_id).exit_code == 0


@contextmanager
def answering(reply: bytes) -> Iterator[int]:
    """Something that answers every command in the same way."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    while data := peer.recv(65536):
                        peer.sendall(reply * data.count(b"*"))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "Redis is still loading its data"),
        (b"-NOAUTH Authentication required.\r\n", "Redis refused the user or password"),
        (b"-NOPERM this user has no permissions\r\n", "Redis does not permit this user"),
    ],
)
@pytest.mark.parametrize("args", [("status",), WRITING[-1]], ids=" ".join)
def test_a_redis_that_answers_with_an_error(
    bare_command: Command, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], reply: bytes, said: str
) -> None:
    """In words."""
    with answering(reply) as port:
        monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{port}/0")
        result = bare_command(*args)

    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"oppsync: {said}")


def test_a_traceback_can_be_asked_for(bare_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes before the line, not instead of it."""
    monkeypatch.setenv("OPPSYNC_DEBUG", "1")

    result = bare_command("status")

    assert result.exit_code == 2
    assert result.stderr.startswith("Traceback")
    assert result.stderr.splitlines()[-1].startswith("oppsync: REDIS_URL is not set")


def test_a_failure_in_the_middle_tells_what_was_done(
    command: Command, lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batch is counted, and the same command finishes the work."""
    letters = [lives.dead() for _ in range(3)]
    monkeypatch.setattr("oppsync_ops.letters.acting.BATCH", 2)
    original = replaying.operating.replay
    seen: list[str] = []

    def breaking(job_id: str, **given: Any) -> object:
        seen.append(job_id)
        if len(seen) == 3:
            lives.client.config_set("maxmemory", "1")
        return original(job_id, **given)

    monkeypatch.setattr(replaying.operating, "replay", breaking)
    try:
        result = command("dead", "replay", *letters, "--yes", "--json")
    finally:
        lives.client.config_set("maxmemory", "0")
    again = command("dead", "replay", *letters, "--yes", "--json")

    assert result.exit_code == 1
    assert answer(result)["done"] == 2
    assert "2 were done before; to run the same again is safe" in result.stderr
    assert answer(again)["done"] == 1
    assert answer(again)["refused"] == {"queued": 2}


def test_jobs_that_leave_while_we_look(command: Command, lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter that is replayed between being seen and being read is left out, and no other is hidden by it."""
    letters = [lives.dead() for _ in range(5)]
    read = filters.read_letters
    left: list[str] = []

    def leaving(client: Redis, job_ids: object) -> object:
        if not left:
            left.append(letters[0])
            assert command("dead", "replay", letters[0]).exit_code == 0
        return read(client, job_ids)

    monkeypatch.setattr(filters, "read_letters", leaving)

    found = answer(command("dead", "list", "--json"))

    assert [letter["job_id"] for letter in found] == letters[1:]

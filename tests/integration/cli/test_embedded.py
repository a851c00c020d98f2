"""`oppsync redis`: one server per directory, found again, and not doubled."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from integration.cli.lives import Command, answer
from stage import eventually

OPPSYNC = [sys.executable, "-m", "oppsync_ops.cli.main"]


@pytest.fixture
def here(bare_command: Command, tmp_path: Path) -> Iterator[Path]:
    """An empty directory; what was started in it is stopped."""
    yield tmp_path
    bare_command("redis", "stop")


def environ() -> dict[str, str]:
    """A process' environment without an address of Redis."""
    return {name: value for name, value in os.environ.items() if name != "REDIS_URL"}


def kill(pid: int) -> None:
    """What a power cut does."""
    os.kill(pid, signal.SIGKILL)

    def gone() -> bool:
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or ") Z " in stat.read_text("utf-8")

    eventually(gone, what="the end of the server")


def test_start_twice_is_one_server(bare_command: Command, here: Path) -> None:
    """The second start finds the first one's server; commands find it too."""
    first = answer(bare_command("redis", "start", "--json"))
    second = answer(bare_command("redis", "start", "--json"))
    status = answer(bare_command("redis", "status", "--json"))

    assert (first["state"], second["state"], status["state"]) == ("started", "running", "running")
    assert (first["pid"], first["url"]) == (second["pid"], second["url"])
    assert (here / ".oppsync/redis.url").read_text("utf-8").strip() == first["url"]
    assert int((here / ".oppsync/redis.pid").read_text("utf-8")) == first["pid"]
    assert bare_command("dead", "list").stdout == "no dead letters\n"


def test_every_write_is_on_disk_before_it_counts(bare_command: Command, here: Path) -> None:
    """The promise that nothing is lost; and nobody else may read the data."""
    url = answer(bare_command("redis", "start", "--json"))["url"]

    with Redis.from_url(url, decode_responses=True) as client:
        assert client.config_get("appendonly") | client.config_get("appendfsync") == {
            "appendonly": "yes",
            "appendfsync": "always",
        }
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert (here / ".oppsync").stat().st_mode & 0o077 == 0


def test_stop_keeps_the_data_and_forgets_the_address(bare_command: Command, here: Path) -> None:
    """The next start has everything, at the address of before if that can be."""
    url = answer(bare_command("redis", "start", "--json"))["url"]
    with Redis.from_url(url) as client:
        client.set("kept", "yes")

    stopped = bare_command("redis", "stop")
    status = bare_command("redis", "status")
    again = bare_command("redis", "stop")
    url = answer(bare_command("redis", "start", "--json"))["url"]

    assert (stopped.exit_code, stopped.stdout) == (0, "stopped\n")
    assert (status.exit_code, status.stdout) == (1, "not running\n")
    assert (again.exit_code, again.stdout) == (0, "it was not running\n")
    assert (here / ".oppsync/redis").is_dir()
    with Redis.from_url(url) as client:
        assert client.get("kept") == b"yes"


def test_a_killed_server_is_noticed_and_comes_back_where_it_was(bare_command: Command, here: Path) -> None:
    """Stale files fool nobody; clients that have the address find the new server without being told."""
    first = answer(bare_command("redis", "start", "--json"))
    with Redis.from_url(first["url"]) as client:
        client.set("kept", "yes")
    kill(first["pid"])

    status = bare_command("redis", "status")
    command = bare_command("dead", "list")
    second = answer(bare_command("redis", "start", "--json"))

    assert (here / ".oppsync/redis.url").exists()
    assert status.exit_code == 1
    assert "run `oppsync redis start`" in command.stderr
    assert (second["state"], second["url"]) == ("started", first["url"])
    assert second["pid"] != first["pid"]
    with Redis.from_url(second["url"]) as client:
        assert client.get("kept") == b"yes"


def test_another_directorys_server_at_our_old_address_is_not_ours(
    bare_command: Command, here: Path, redis_url: str, ledger: Redis
) -> None:
    """It answers, but its data is not this directory's; a server of our own is started elsewhere."""
    folder = here / ".oppsync"
    (folder / "redis").mkdir(parents=True)
    (folder / "redis.url").write_text(redis_url, "utf-8")
    (folder / "redis.pid").write_text(str(ledger.info("server")["process_id"]), "utf-8")

    status = bare_command("redis", "status")
    started = answer(bare_command("redis", "start", "--json"))

    assert status.exit_code == 1
    assert started["url"] != redis_url


def test_a_race_of_starts_makes_one_server(here: Path) -> None:
    """Five at once agree on address and process."""
    racers = [
        subprocess.Popen([*OPPSYNC, "redis", "start", "--json"], cwd=here, env=environ(), stdout=subprocess.PIPE)
        for _ in range(5)
    ]
    answers = [json.loads(racer.communicate(timeout=60)[0]) for racer in racers]

    assert len({(one["pid"], one["url"]) for one in answers}) == 1
    assert sorted(one["state"] for one in answers) == ["running"] * 4 + ["started"]


def test_a_server_whose_starter_died_is_adopted(bare_command: Command, here: Path) -> None:
    """Between coming up and being noted it has only the address that was announced."""
    first = answer(bare_command("redis", "start", "--json"))
    folder = here / ".oppsync"
    (folder / "redis.url").rename(folder / "redis.starting")
    (folder / "redis.pid").unlink()

    second = answer(bare_command("redis", "start", "--json"))

    assert (second["state"], second["pid"], second["url"]) == ("running", first["pid"], first["url"])
    assert (folder / "redis.url").exists()
    assert not (folder / "redis.starting").exists()


def test_a_stuck_server_is_left_alone(bare_command: Command, here: Path) -> None:
    """A second one on the same data would ruin both."""
    first = answer(bare_command("redis", "start", "--json"))
    os.kill(first["pid"], signal.SIGSTOP)
    try:
        started = bare_command("redis", "start")
        status = bare_command("redis", "status")
    finally:
        os.kill(first["pid"], signal.SIGCONT)

    for result in (started, status):
        assert result.exit_code == 1
        assert "does not answer" in result.stderr
    assert answer(bare_command("redis", "status", "--json"))["pid"] == first["pid"]
    assert here.exists()


def test_a_server_that_cannot_read_its_data_says_so(bare_command: Command, here: Path) -> None:
    """The last lines of its log, exit code 1, and no file left that points nowhere."""
    data = here / ".oppsync" / "redis"
    data.mkdir(parents=True)
    (data / "appendonly.aof").write_bytes(b"this is no append-only file")
    (data / "appendonlydir").mkdir()
    (data / "appendonlydir/appendonly.aof.manifest").write_bytes(b"nonsense\n")

    result = bare_command("redis", "start")

    assert result.exit_code == 1
    assert result.stderr.startswith("oppsync: Redis did not come up")
    assert not (here / ".oppsync/redis.url").exists()
    assert not (here / ".oppsync/redis.starting").exists()


def test_redis_url_comes_first_and_is_pointed_out(
    bare_command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or one would look into the wrong Redis."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")

    result = bare_command("redis", "start")

    assert result.exit_code == 0
    assert "REDIS_URL is set and comes first" in result.stderr
    assert here.exists()


def test_stop_and_status_make_nothing(bare_command: Command, here: Path) -> None:
    """Looking leaves no folder behind."""
    assert bare_command("redis", "status", "--json").exit_code == 1
    assert answer(bare_command("redis", "stop", "--json")) == {"state": "stopped", "was_running": False}
    assert not (here / ".oppsync").exists()

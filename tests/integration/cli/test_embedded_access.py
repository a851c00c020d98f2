"""The embedded server is its owner's alone, does what jobs need, and takes over what earlier versions have left."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery import Celery
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from integration.cli.lives import Command, answer
from oppsync import AsyncJobClient, CreateOpportunity, JobClient, State, UpdateOpportunity
from oppsync_ops import redis_server
from oppsync_ops.embedded.home import Home
from oppsync_ops.simulator import HostedSimulator
from oppsync_worker.ledger.connect import NoRedisUrl, redis_url
from stage import BIN, Worker, eventually

NOBODY = 65_534
OLDEST = BIN / "redis-server"
"""Redis 6.2, where there is a wheel of it: what earlier versions started."""


@pytest.fixture
def here(bare_command: Command, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that everybody may enter, as most are; what was started in it is stopped."""
    folder = Path(tempfile.mkdtemp(prefix="oppsync-test-"))
    folder.chmod(0o755)
    monkeypatch.chdir(folder)
    yield folder
    bare_command("redis", "stop")
    shutil.rmtree(folder)


@pytest.fixture
def admin(bare_command: Command, here: Path) -> Iterator[Redis]:
    """Somebody with every right at the embedded server."""
    port = urlsplit(answer(bare_command("redis", "start", "--json"))["url"]).port
    access = Home(here / ".oppsync").access()
    assert access is not None
    assert port is not None
    with Redis.from_url(access.admin_url(port), decode_responses=True) as client:
        yield client


def deal(lead: int = 1) -> CreateOpportunity:
    """A create."""
    return CreateOpportunity(instance="acme", funnel_id=7, title="D", crm_column=130, lead_id=lead)


def port_of(here: Path) -> int:
    """Where it listens."""
    return urlsplit((here / ".oppsync/redis.url").read_text("utf-8").strip()).port or 0


def as_somebody_else(script: str) -> str:
    """What a shell prints that knows no password; one of another user's, where we may become one."""
    other: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run(["bash", "-c", script], **other, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_another_user_can_neither_connect_nor_read_the_passwords(admin: Redis, here: Path) -> None:
    """Not from the files, not from the process list, not with a command.

    Who is not root cannot become another user: for the files it is then held that their modes let nobody else in.
    """
    access = Home(here / ".oppsync").access()
    assert access is not None
    for command in ("PING", "CONFIG GET dir", "INFO", "HELLO 3", "EVAL return 0", "SAVE"):
        said = as_somebody_else(
            f"exec 3<>/dev/tcp/127.0.0.1/{port_of(here)}; printf '{command}\\r\\n' >&3; head -n 1 <&3"
        )
        assert "NOAUTH" in said, said
    files = ""
    if os.geteuid() == 0:
        files = as_somebody_else(f"cd {here} && cat .oppsync/* .oppsync/redis/*; ls -R .oppsync")
        assert "ermission denied" in files
    assert (here / ".oppsync").stat().st_mode & 0o077 == 0
    pid = (here / ".oppsync/redis.pid").read_text("utf-8").strip()
    processes = as_somebody_else(f"cat /proc/{pid}/cmdline /proc/{pid}/environ /proc/{pid}/fd/0; ps auxewww || true")
    for secret in (access.app, access.admin):
        assert secret not in files + processes
    assert admin.ping()


def test_the_files_are_the_owners(admin: Redis, here: Path) -> None:
    """Directories 0700, everything in them 0600; the passwords are not among the server's arguments."""
    home = here / ".oppsync"
    for path in (home, home / "redis"):
        assert path.stat().st_mode & 0o777 == 0o700
    for path in (home / "redis.url", home / "redis.secret", home / "redis.pid"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert all(path.stat().st_mode & 0o077 == 0 for path in (home / "redis").rglob("*"))
    assert admin.config_get("bind") == {"bind": "127.0.0.1"}
    assert admin.config_get("protected-mode") == {"protected-mode": "yes"}
    with Redis(port=port_of(here)) as stranger, pytest.raises(AuthenticationError):
        stranger.ping()


@pytest.mark.parametrize(
    "command",
    [
        ("CONFIG", "SET", "dir", "/"),
        ("DEBUG", "SLEEP", "0"),
        ("SAVE",),
        ("BGSAVE",),
        ("BGREWRITEAOF",),
        ("MODULE", "LIST"),
        ("REPLICAOF", "127.0.0.1", "1"),
        ("SLAVEOF", "127.0.0.1", "1"),
        ("MIGRATE", "127.0.0.1", "1", "key", "0", "1"),
        ("ACL", "LIST"),
        ("ACL", "SETUSER", "oppsync", "+@all"),
        ("MONITOR",),
        ("FLUSHALL",),
        ("SHUTDOWN",),
    ],
    ids=" ".join,
)
def test_the_address_in_redis_url_gives_no_right_over_the_server(
    admin: Redis, here: Path, command: tuple[str, ...]
) -> None:
    """It stands in environments and settings; whoever finds it there can make the server write no file."""
    with Redis.from_url((here / ".oppsync/redis.url").read_text("utf-8").strip()) as app:
        # Newer servers refuse DEBUG to everybody.
        refusal = ResponseError if command[0] == "DEBUG" else NoPermissionError
        with pytest.raises(refusal, match=r"not allowed|permission"):
            app.execute_command(*command)
    assert admin.ping()


async def test_everything_that_uses_redis_url_is_served(admin: Redis, here: Path, crm: HostedSimulator) -> None:
    """Both clients, our worker, stock Celery as a producer, `celery inspect` and commands: none is refused anything."""
    url = (here / ".oppsync/redis.url").read_text("utf-8").strip()
    worker = Worker(redis_url=url, crm_url=crm.url, folder=here).start()
    try:
        with JobClient(url) as client:
            created = client.wait(client.enqueue(deal()), timeout_s=30)
            assert created.state == State.SUCCEEDED
        async with AsyncJobClient(url) as client:
            update = UpdateOpportunity(
                instance="acme", funnel_id=7, opportunity_id=created.opportunity_id or 0, title="Ação"
            )
            assert (await client.wait(await client.enqueue(update), timeout_s=30)).state == State.SUCCEEDED
        stock = Celery(broker=url, backend=url, set_as_current=False)
        kwargs = {"instance": "acme", "funnel_id": 7, "title": "D", "crm_column": 130, "lead_id": 3}
        sent = stock.send_task("opportunities.create", kwargs=kwargs, queue="opportunities.bulk")
        assert sent.get(timeout=30)["state"] == "succeeded"
        stock.close()
        inspected = run(here, str(BIN / "celery"), "-b", url, "inspect", "ping")
        for arguments in (["status"], ["dead", "list"], ["doubt", "list"], ["instances"]):
            run(here, sys.executable, "-m", "oppsync_ops.cli.main", *arguments)
        assert worker.stop() == 0
    finally:
        if worker.running:
            worker.kill()
    assert "pong" in inspected
    refused: Any = admin.acl_log()
    # A client that introduces itself does not mind being refused.
    assert [one["object"] for one in refused if one["object"] not in {"client", "client|setinfo"}] == []


def run(folder: Path, *command: str) -> str:
    """Run a command that must succeed in the embedded server's directory, which is all that it knows of Redis."""
    kept = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    environ = {**kept, "SPRINTHUB_INSTANCE": "acme", "SPRINTHUB_API_TOKEN": "t"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_screens_do_not_show_the_password(bare_command: Command, admin: Redis, here: Path) -> None:
    """The address without it for a person, with it for a program."""
    access = Home(here / ".oppsync").access()
    assert access is not None

    shown = [bare_command("redis", "start"), bare_command("redis", "status")]

    assert all(access.app not in one.output and access.admin not in one.output for one in shown)
    assert all(f"redis://127.0.0.1:{port_of(here)}/0" in one.stdout for one in shown)
    assert access.app in answer(bare_command("redis", "status", "--json"))["url"]
    assert admin.ping()


def test_the_password_stays_the_same(bare_command: Command, here: Path) -> None:
    """Or a worker that waits for its Redis to come back would wait for ever."""
    first = answer(bare_command("redis", "start", "--json"))["url"]
    bare_command("redis", "stop")
    assert (here / ".oppsync/redis.secret").exists()

    assert urlsplit(answer(bare_command("redis", "start", "--json"))["url"]).password == urlsplit(first).password


def old_server(home: Path) -> tuple["subprocess.Popen[bytes]", int]:
    """What the version before had started: no passwords, and its files as they were then."""
    data, port = home / "redis", redis_server.free_port()
    data.mkdir(mode=0o700, parents=True)
    program = str(OLDEST) if OLDEST.exists() else redis_server.server_program()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(data), "--appendonly", "yes"]
    options += ["--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction"]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    (home / "redis.url").write_text(f"redis://127.0.0.1:{port}/0\n", "utf-8")
    (home / "redis.pid").write_text(f"{process.pid}\n", "utf-8")
    with Redis(port=port) as client:
        eventually(lambda: reachable(client))
    return process, port


def reachable(client: Redis) -> bool:
    """Whether it is up."""
    try:
        return bool(client.ping())
    except RedisConnectionError:
        return False


def test_what_the_version_before_left_goes_on(bare_command: Command, here: Path, crm: HostedSimulator) -> None:
    """Its server serves, and is pointed out; the next start has its data, whole, and passwords."""
    process, port = old_server(here / ".oppsync")
    try:
        with JobClient(f"redis://127.0.0.1:{port}/0") as client:
            some = client.enqueue_many(deal(lead) for lead in range(1, 40))
            with Redis(port=port, decode_responses=True) as old:
                old.bgrewriteaof()
                eventually(lambda: not old.info("persistence")["aof_rewrite_in_progress"])
            some += client.enqueue_many(deal(lead) for lead in range(40, 60))
        with Redis(port=port) as old:
            before = contents(old)

        found = bare_command("redis", "start")
        assert found.exit_code == 0
        assert "lets every user of this machine in" in found.stderr
        assert json.loads(bare_command("redis", "status", "--json").stdout)["pid"] == process.pid
        assert bare_command("redis", "stop").exit_code == 0
        process.wait(20)
    finally:
        process.kill()
        process.wait()
    started = answer(bare_command("redis", "start", "--json"))

    assert started["state"] == "started"
    assert urlsplit(started["url"]).password
    with Redis.from_url(started["url"]) as now:
        assert contents(now) == before
    worker = Worker(redis_url=started["url"], crm_url=crm.url, folder=here).start()
    try:
        with JobClient(started["url"]) as client:
            eventually(lambda: {one.state for one in client.outcomes(some)} == {State.SUCCEEDED}, within_s=60)
    finally:
        worker.kill()
    assert len(crm.records("acme")) == 59


def contents(client: Redis) -> dict[bytes, object]:
    """Every key's value, whatever its encoding."""
    read = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
    }
    return {key: read[client.type(key)](key) for key in client.scan_iter()}


def test_data_of_a_newer_server_is_told_by_its_name(bare_command: Command, here: Path) -> None:
    """What to do about it, and nothing is overwritten."""
    data = here / ".oppsync/redis"
    base = data / "appendonly.aof"
    if redis_server.server_version(redis_server.server_program()) >= (7,):
        base = data / "appendonlydir/appendonly.aof.1.base.rdb"
    base.parent.mkdir(parents=True)
    (base.parent / "appendonly.aof.manifest").write_text("file appendonly.aof.1.base.rdb seq 1 type b\n", "utf-8")
    base.write_bytes(b"REDIS0079" + bytes(64))

    result = bare_command("redis", "start")

    assert result.exit_code == 1
    assert "name that server's program in OPPSYNC_REDIS_SERVER" in result.stderr
    assert base.read_bytes() == b"REDIS0079" + bytes(64)


def test_the_program_can_be_named(
    bare_command: Command, monkeypatch: pytest.MonkeyPatch, here: Path, tmp_path: Path
) -> None:
    """By its path or as a command; a name that is none is told as such."""
    program = tmp_path / "some server"
    program.write_text(f'#!/bin/sh\ntouch "$0 was run"\nexec "{redis_server.server_program()}" "$@"\n', "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("OPPSYNC_REDIS_SERVER", str(program))
    assert bare_command("redis", "start").exit_code == 0
    assert (tmp_path / "some server was run").exists()
    bare_command("redis", "stop")

    monkeypatch.setenv("OPPSYNC_REDIS_SERVER", "no-such-server")
    result = bare_command("redis", "start")

    assert result.exit_code == 1
    assert "OPPSYNC_REDIS_SERVER names no program: no-such-server" in result.stderr
    assert here.exists()


def test_a_planted_address_is_not_followed(bare_command: Command, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a directory that others may write to, such as /tmp, they can be first; we start nothing in their folder."""
    home = here / ".oppsync"
    home.mkdir()
    (home / "redis.url").write_text("redis://127.0.0.1:1/0\n", "utf-8")
    owner = home.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)

    result = bare_command("redis", "start")

    assert result.exit_code == 1
    assert f"belongs to another user (uid {owner})" in result.stderr


def test_an_address_of_somebody_elses_is_refused_in_words(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients look at the owner as well."""
    home = here / ".oppsync"
    home.mkdir()
    (home / "redis.url").write_text("redis://127.0.0.1:1/0\n", "utf-8")
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)

    with pytest.raises(NoRedisUrl, match="belongs to another user: set REDIS_URL"):
        redis_url({})

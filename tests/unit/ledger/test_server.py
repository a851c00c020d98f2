"""What is asked of Redis itself, what its answers mean, and the words for it: addresses, rights, durability, keys."""

import asyncio
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from oppsync import AsyncJobClient, JobClient
from oppsync_worker.contract.outcomes import OUTCOME_FIELDS, Outcome
from oppsync_worker.contract.states import State
from oppsync_worker.ledger import assembly, connect, durability, keys, presence, reading, rights, scripts
from oppsync_worker.ledger.assembly import load
from oppsync_worker.ledger.connect import NoRedisUrl, connection_options, explain, redis_url
from oppsync_worker.ledger.durability import Answers, TooOld, ask, ask_async, require_version, weaknesses
from oppsync_worker.ledger.scripts import Call, packed

# Where Redis is.


@pytest.mark.parametrize("url", ["redis://h", "rediss://h:1/0", "unix:///s", " redis://h \n"])
def test_an_address_is_taken_from_the_environment(url: str) -> None:
    """Without the spaces around it."""
    assert redis_url({"REDIS_URL": url}) == url.strip()


@pytest.mark.parametrize("url", ["http://h", "h:6379", "redis:/", "redis//h", "REDIS"])
def test_what_is_no_address_is_refused(url: str) -> None:
    """It must say how Redis is spoken to."""
    with pytest.raises(NoRedisUrl, match=r"^REDIS_URL must begin with redis://, rediss:// or unix://$"):
        redis_url({"REDIS_URL": url})


WRONG = {
    "a port that is none": "redis://:pw-SECRET@127.0.0.1:bad/0",
    "a port out of range": "redis://:pw-SECRET@127.0.0.1:99999/0",
    "a space in it": "redis://:bad port",
    "a bracket that stays open": "redis://:pw-SECRET@[::1/0",
    "a # in the password": "redis://u:pw-SECRET#x@127.0.0.1:6379/0",
    "a / in the password": "redis://u:pw-SECRET/x@127.0.0.1:6379/0",
    "an option that nobody knows": "redis://:pw-SECRET@127.0.0.1/0?foo=bar",
    "an option that is no number": "redis://:pw-SECRET@127.0.0.1/0?socket_timeout=abc",
    "a demand on certificates that nobody knows": "rediss://:pw-SECRET@127.0.0.1/0?ssl_cert_reqs=banana",
    "a database without a number": "redis://:pw-SECRET@127.0.0.1/jobs",
    "an option that is ours": "redis://:pw-SECRET@127.0.0.1/0?decode_responses=true",
    "another protocol": "redis://:pw-SECRET@127.0.0.1/0?protocol=3",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_address_that_cannot_be_read_is_refused_at_once_and_without_its_password(wrong: str) -> None:
    """By everybody who takes one; no error behind it quotes any of it either."""
    url = WRONG[wrong]
    takes: list[Callable[[], object]] = [
        lambda: redis_url({"REDIS_URL": url}),
        lambda: JobClient(url),
        lambda: AsyncJobClient(url),
    ]
    for take in takes:
        with pytest.raises(NoRedisUrl) as caught:
            take()
        assert "SECRET" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://127.0.0.1:6379/0?socket_timeout=7",
        "rediss://u:p%23%2F%40@h:6380/3?ssl_cert_reqs=none",
        "unix:///run/redis.sock?db=2",
        "unix://u:p@/run/redis.sock",
    ],
)
def test_what_redis_client_can_read_is_taken_as_it_is(url: str) -> None:
    """Every form of it."""
    assert redis_url({"REDIS_URL": url}) == url


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://u:s3cr3t@cache.internal:6380/2", "cache.internal:6380"),
        ("rediss://:s3cr3t@cache", "cache:6379"),
        ("redis://", "localhost:6379"),
        ("redis://[::1]:7000/0", "[::1]:7000"),
        ("unix://u:s3cr3t@/run/redis.sock?db=1", "%2Frun%2Fredis.sock"),
    ],
)
def test_where_redis_is_is_shown_without_who_asks(url: str, place: str) -> None:
    """Celery prints it when a worker starts."""
    assert connect.place(url) == place


def embedded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which an embedded server leaves its address."""
    monkeypatch.chdir(folder)
    path = folder / ".oppsync" / "redis.url"
    path.parent.mkdir()
    path.write_text("unix:///mine\n", "utf-8")
    return path


@pytest.mark.parametrize("environ", [{}, {"REDIS_URL": ""}, {"REDIS_URL": "  "}])
def test_without_one_the_embedded_server_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    """If there is one."""
    path = embedded(tmp_path, monkeypatch)
    assert redis_url(environ) == "unix:///mine"
    assert redis_url({"REDIS_URL": "redis://h"}) == "redis://h"
    path.unlink()
    with pytest.raises(NoRedisUrl, match=r"^REDIS_URL is not set: set it, for example"):
        redis_url(environ)


@pytest.mark.parametrize(("me", "taken"), [(0, True), (1, False), (2, True)])
def test_an_address_that_somebody_else_left_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, me: int, taken: Any
) -> None:
    """It is user 2's; root may read everybody's."""
    embedded(tmp_path, monkeypatch)

    class Theirs:
        """The file's status."""

        st_uid = 2

    monkeypatch.setattr(Path, "stat", lambda _, **__: Theirs)
    monkeypatch.setattr("os.geteuid", lambda: me)

    if taken:
        assert redis_url({}) == "unix:///mine"
    else:
        with pytest.raises(NoRedisUrl, match=r"redis\.url belongs to another user"):
            redis_url({})


def test_an_address_that_cannot_be_read_is_somebody_else_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not none."""
    embedded(tmp_path, monkeypatch)

    def forbidden(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", forbidden)

    with pytest.raises(NoRedisUrl, match="belongs to another user"):
        redis_url({})


def test_no_connection_waits_without_end() -> None:
    """Three seconds to connect, five for an answer, and RESP2."""
    options = connection_options("redis://h")
    assert options == {
        "protocol": 2,
        "socket_timeout": 5.0,
        "socket_connect_timeout": 3.0,
        "socket_keepalive": True,
        "health_check_interval": 25,
    }
    assert connection_options("redis://h", answer_timeout_s=2.0)["socket_timeout"] == 2.0
    # To a socket nothing is kept alive: there is nothing between.
    assert connection_options("unix:///s") == {name: options[name] for name in options if name != "socket_keepalive"}


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (BusyLoadingError("x"), "Redis is still loading its data; try again in a moment"),
        (ReadOnlyError("x"), "Redis is read-only: this is a replica, point REDIS_URL at the primary"),
        (
            OutOfMemoryError("x"),
            "Redis is out of memory and refuses writes: raise maxmemory or drain the queues",
        ),
        (AuthenticationError("x"), "Redis refused the user or password in REDIS_URL"),
        (NoPermissionError("x"), connect._NOT_PERMITTED),
        (ResponseError("in a script: MISCONF x"), "Redis cannot write its data to disk and refuses writes: look at"),
        (ResponseError("-OOM x"), "Redis is out of memory and refuses writes: raise maxmemory or drain the queues"),
        (ResponseError("The user executing the script can't"), connect._NOT_PERMITTED),
        (ResponseError("ACL failure in script"), connect._NOT_PERMITTED),
        (ResponseError("x NOPERM y"), connect._NOT_PERMITTED),
        (ResponseError("x READONLY y"), "Redis is read-only: this is a replica, point REDIS_URL at the primary"),
        (ResponseError("a" * 200), "Redis refused a command: " + "a" * 100),
        (ResponseError("odd\nOOM"), "Redis refused a command: odd"),
        (redis.ConnectionError("to 10.0.0.1"), "Redis is not answering (ConnectionError): is it running, and is"),
        (redis.TimeoutError("x"), "Redis is not answering (TimeoutError): is it running, and is REDIS_URL right?"),
    ],
)
def test_an_error_of_redis_is_told_in_a_line(error: redis.RedisError, says: str) -> None:
    """With what to do, and never with its address."""
    said = explain(error)

    assert said.startswith(says)
    assert "10.0.0.1" not in said
    if "a" * 100 in says:
        assert said == says


# Whether it keeps what it is given.

GOOD = {"redis_version": "7.2.4", "aof_enabled": 1, "maxmemory_policy": "noeviction"}


@pytest.mark.parametrize(
    ("info", "fsync", "user", "names"),
    [
        (GOOD, "always", None, []),
        (GOOD, "always", "~* &* +@all", []),
        (None, "always", None, ["durability_unknown"]),
        ({**GOOD, "aof_enabled": 0}, "always", None, ["no_append_only_file"]),
        ({**GOOD, "aof_enabled": "0"}, "always", None, ["no_append_only_file"]),
        ({"maxmemory_policy": "noeviction"}, "always", None, ["append_only_file_unknown"]),
        (GOOD, None, None, ["append_fsync_unknown"]),
        (GOOD, "everysec", None, ["append_fsync"]),
        (GOOD, "always", "~* &* +get", ["default_user"]),
        ({**GOOD, "maxmemory_policy": "allkeys-lru"}, "always", None, ["eviction"]),
        ({"aof_enabled": 1}, "always", None, ["eviction_unknown"]),
        ({"aof_enabled": 0}, "no", "x", ["no_append_only_file", "default_user", "eviction_unknown"]),
    ],
)
def test_what_is_amiss_is_named(info: Any, fsync: str | None, user: str | None, names: list[str]) -> None:
    """The gravest first; what cannot be told is said to be so."""
    found = weaknesses(Answers(info, fsync, user))

    assert [one.name for one in found] == names
    assert [one.known for one in found] == [not name.endswith("unknown") for name in names]
    assert all(value in one.sentence for one in found for value in ([fsync] if one.name == "append_fsync" else []))


@pytest.mark.parametrize(
    ("version", "old"),
    [
        ("6.0.20", True),
        ("6.1.9", True),
        ("6.2.0", False),
        ("6.2", False),
        ("7.0.15", False),
        ("10.0", False),
        ("", False),
        ("5", True),
        ("unstable", False),
    ],
)
def test_the_scripts_need_redis_6_2(version: str, old: Any) -> None:
    """A version that nobody can read is tried."""
    answers = Answers({"redis_version": version}, None)

    if not old:
        require_version(answers)
        return
    with pytest.raises(TooOld, match=f"^Redis {version} is too old: the ledger's scripts need Redis 6.2 or newer"):
        require_version(answers)


def test_a_server_that_tells_nothing_is_tried() -> None:
    """It cannot be judged."""
    require_version(Answers(None, None))
    assert Answers(None, None).version == ""


class Server:
    """A server that tells what it is asked, or forbids it."""

    def __init__(self, info: Any, fsync: Any, user: Any) -> None:
        self.told = {"info": info, "config_get": fsync, "acl_getuser": user}
        self.asked: list[tuple[Any, ...]] = []

    def answer(self, name: str, *args: Any) -> Any:
        self.asked.append((name, *args))
        told = self.told[name]
        if isinstance(told, Exception):
            raise told
        return told

    def info(self) -> Any:
        return self.answer("info")

    def config_get(self, name: str) -> Any:
        return self.answer("config_get", name)

    def acl_getuser(self, name: str) -> Any:
        return self.answer("acl_getuser", name)


class AsyncServer(Server):
    """The same, awaited."""

    async def info(self) -> Any:
        return self.answer("info")

    async def config_get(self, name: str) -> Any:
        return self.answer("config_get", name)

    async def acl_getuser(self, name: str) -> Any:
        return self.answer("acl_getuser", name)


USER = {"keys": ["~*"], "channels": ["&*"], "categories": ["+@all"], "commands": ["+get"]}
FORBIDDEN = NoPermissionError("no")


@pytest.mark.parametrize("form", ["threads", "asyncio"])
@pytest.mark.parametrize(
    ("told", "found", "asked_user"),
    [
        ((GOOD, {"appendfsync": "always"}, USER), Answers(GOOD, "always", "~* &* +@all +get"), True),
        ((GOOD, {b"appendfsync": b"no"}, None), Answers(GOOD, "no"), True),
        ((GOOD, ResponseError("unknown command"), FORBIDDEN), Answers(GOOD, None), True),
        ((FORBIDDEN, {}, USER), Answers(None, None), False),
        (({"redis_version": "6.2.14"}, {}, USER), Answers({"redis_version": "6.2.14"}, None), False),
        (
            ({"redis_version": "10.0"}, {}, USER),
            Answers({"redis_version": "10.0"}, None, "~* &* +@all +get"),
            True,
        ),
        (({"redis_version": "x"}, {}, USER), Answers({"redis_version": "x"}, None), False),
        (({}, {}, USER), Answers({}, None), False),
        (
            ({"redis_version": "7.2.4", "valkey_version": "8"}, {}, USER),
            Answers({"redis_version": "7.2.4", "valkey_version": "8"}, None),
            False,
        ),
    ],
)
def test_a_server_is_asked_what_it_may_tell(form: str, told: Any, found: Answers, asked_user: Any) -> None:
    """From threads as from asyncio; who may do what, only one that reads its file as somebody."""
    server = Server(*told) if form == "threads" else AsyncServer(*told)
    client: Any = server

    answers = ask(client) if form == "threads" else asyncio.run(ask_async(client))

    assert answers == found
    assert server.asked == [
        ("info",),
        ("config_get", "appendfsync"),
        *([("acl_getuser", "default")] if asked_user else []),
    ]


@pytest.mark.parametrize("form", ["threads", "asyncio"])
@pytest.mark.parametrize("error", [redis.ConnectionError("away"), BusyLoadingError("loading")])
def test_a_server_that_does_not_answer_is_an_error(form: str, error: Exception) -> None:
    """And not one that may not tell."""
    client: Any = Server(error, {}, USER) if form == "threads" else AsyncServer(error, {}, USER)

    with pytest.raises(type(error)):
        _ = ask(client) if form == "threads" else asyncio.run(ask_async(client))


def test_the_oldest_versions_are_these() -> None:
    """Of servers that work, and of those that check a user's rights when they read their file."""
    assert (durability.OLDEST, durability.FIRST_THAT_CHECKS) == ((6, 2), 7)


# Rights.


def test_a_role_s_line_gives_it_what_it_needs_and_no_more() -> None:
    """In Redis' own words."""
    line = rights.acl(rights.ROLES["celery-producer"], password="p")

    assert line == (
        "ACL SETUSER oppsync-celery-producer reset on >p ~opportunities.* ~_kombu.binding.* ~_kombu.binding_permanent.*"
        " ~celery-task-meta-* resetchannels &celery-task-meta-* +client|setinfo +exec +get +llen +lpush +mget +multi"
        " +ping +sadd +select +smembers +subscribe +unsubscribe"
    )


def test_rights_are_asked_for_by_name_and_by_example() -> None:
    """How many commands, each of them, and each pattern with a key, or a channel, that it covers."""
    call = rights.check("celery-producer")

    commands = rights.commands(rights.ROLES["celery-producer"])
    count = len(commands)
    assert call.script == "rights"
    assert call.arguments[: count + 1] == (count, *commands)
    assert call.arguments[count + 1 :] == (
        *("opportunities.*", "opportunities.rights-check", "_kombu.binding.*", "_kombu.binding.rights-check"),
        *("_kombu.binding_permanent.*", "_kombu.binding_permanent.rights-check"),
        *(
            "celery-task-meta-*",
            "celery-task-meta-rights-check",
            "&celery-task-meta-*",
            "celery-task-meta-rights-check",
        ),
    )


def test_rights_that_are_lacking_are_named() -> None:
    """With how to give them."""
    rights.judge("worker", [])
    with pytest.raises(rights.RightsMissing) as lacking:
        rights.judge("worker", [b"+eval", b"~oppsync:*"])

    assert str(lacking.value) == (
        "this Redis user lacks rights that the role worker needs: +eval, ~oppsync:*; `oppsync redis acl worker` prints"
        " the line that gives them"
    )


def test_commands_are_read_out_of_a_script() -> None:
    """Also such as are chosen in the call."""
    text = "redis.call('HSET', key)\nredis.call(front and 'RPUSH' or 'LPUSH', key)\ncall('GET')"

    assert rights.commands_named(text) == {"hset", "rpush", "lpush"}


@pytest.mark.parametrize(
    ("lines", "commands"),
    [
        (["local function used() redis.call('HSET', k) end", "used()"], {"hset", "hget", "hmget", "hdel"}),
        (["local function spare() redis.call('HSET', k) end", "redis.call('GET', k)"], {"get"}),
        (
            ["local function a()", "  redis.call('SADD', k)", "end", "local function b()", "  a()", "end", "b()"],
            {"sadd", "srem"},
        ),
    ],
)
def test_a_role_needs_what_its_scripts_can_reach(
    monkeypatch: pytest.MonkeyPatch, lines: list[str], commands: set[str]
) -> None:
    """And what takes that back when the script is aborted."""
    monkeypatch.setattr(assembly, "lines_of", lambda _: lines)
    rights.commands_of.cache_clear()
    try:
        assert rights.commands_of("drawn") == commands
    finally:
        rights.commands_of.cache_clear()


def test_a_command_that_nobody_can_take_back_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the script is read, not when it is aborted."""
    monkeypatch.setattr(assembly, "lines_of", lambda _: ["redis.call('FLUSHALL')"])
    rights.commands_of.cache_clear()
    with pytest.raises(ValueError, match=r"^drawn\.lua uses \['flushall'\]: say here and in undo\.lua"):
        rights.commands_of("drawn")
    rights.commands_of.cache_clear()


# Scripts, and what is read.


class Forgetful:
    """A server that has forgotten its scripts."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def evalsha(self, *args: Any) -> Any:
        self.asked.append(("evalsha", *args))
        raise NoScriptError("NOSCRIPT")

    def eval(self, *args: Any) -> Any:
        self.asked.append(("eval", *args))
        return "done"


class AsyncForgetful(Forgetful):
    """The same, awaited."""

    async def evalsha(self, *args: Any) -> Any:
        super().evalsha(*args)

    async def eval(self, *args: Any) -> Any:
        return super().eval(*args)


@pytest.mark.parametrize("form", ["threads", "asyncio"])
def test_a_script_that_was_forgotten_is_sent_whole(form: str) -> None:
    """With the same arguments, as bytes; scripts name no keys."""
    server: Any = Forgetful() if form == "threads" else AsyncForgetful()
    call, script = Call("stand", ("41", 7)), load("stand")

    answer = scripts.run(server, call) if form == "threads" else asyncio.run(scripts.run_async(server, call))

    assert answer == "done"
    assert server.asked == [("evalsha", script.digest, 0, b"41", b"7"), ("eval", script.text, 0, b"41", b"7")]
    assert packed(call) == (b"41", b"7")


def test_outcomes_are_asked_for_and_read_three_answers_a_job() -> None:
    """The entry, when it is due, and its result."""
    asked: list[tuple[Any, ...]] = []

    class Pipe:
        """Keeps what it is asked."""

        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *args: asked.append((name, *args))

    pipe = Pipe()
    assert reading.ask_outcomes(pipe, ["a", "b"]) is pipe
    assert asked == [
        part
        for job_id in ("a", "b")
        for part in (
            ("hmget", f"oppsync:job:{job_id}", OUTCOME_FIELDS),
            ("zscore", "oppsync:schedule", job_id),
            ("get", f"celery-task-meta-{job_id}"),
        )
    ]
    rest: list[Any] = [None] * 12
    first, second = reading.outcomes(
        ["a", "b"], [[b"queued", *rest], 1_000.0, None, ["dead", *rest[:8], b"why \xff", *rest[:3]], None, b"{}"]
    )
    assert (first.state, first.due and first.due.timestamp()) == (State.QUEUED, 1.0)
    assert second == Outcome("b", State.DEAD, detail="why \ufffd")


def test_who_is_alive_is_told_by_signs_of_the_last_20_seconds() -> None:
    """On Redis' clock, in milliseconds."""
    asked: list[Any] = []

    class Client:
        """A Redis at a second of its own."""

        def time(self) -> tuple[int, int]:
            return 1_700_000_000, 999_999

        def zrangebyscore(self, *args: Any) -> list[bytes]:
            asked.append(args)
            return [b"b:2", b"a:1"]

    client: Any = Client()
    assert presence.alive(client) == ["a:1", "b:2"]
    assert asked == [("oppsync:workers", 1_699_999_980_000.0, "+inf")]


def test_keys_are_these() -> None:
    """Ledgers are full of them."""
    assert {name: value for name, value in vars(keys).items() if name.isupper()} == {
        "PREFIX": "oppsync:",
        "LEASES": "oppsync:leases",
        "SCHEDULE": "oppsync:schedule",
        "IN_DOUBT": "oppsync:in_doubt",
        "DEAD": "oppsync:dead",
        "PROBES": "oppsync:probes",
        "BLOCKED": "oppsync:blocked",
        "HOLDS": "oppsync:holds",
        "HOLDING": "oppsync:holding",
        "RELEASING": "oppsync:releasing",
        "SWEEP": "oppsync:sweep",
        "MISSING": "oppsync:missing",
        "SURPLUS": "oppsync:surplus",
        "SLOTS": "oppsync:slots",
        "CLOCK": "oppsync:clock",
        "CLOCK_GRACE_MS": 3_600_000,
        "WORKERS": "oppsync:workers",
        "BROKEN": "oppsync:broken",
    }
    assert [
        keys.job("j"),
        keys.attempts("j"),
        keys.waiting("i"),
        keys.held("i"),
        keys.hold("i"),
        keys.budget("i"),
        keys.references("i"),
        keys.bell("q"),
        keys.record("i", "id:7"),
        keys.making("i"),
        keys.made("i", 7),
    ] == [
        f"oppsync:{rest}"
        for rest in (
            *("job:j", "attempts:j", "waiting:i", "held:i", "hold:i", "budget:i", "refs:i", "bell:q"),
            *("record:i:id:7", "making:i", "made:i:7"),
        )
    ]

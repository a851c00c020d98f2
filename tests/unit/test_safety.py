"""What a worker holds for unsafe, from what Redis and the settings say."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as LinkError

from oppsync_worker import safety
from oppsync_worker.instances import InstanceSettings
from oppsync_worker.ledger.durability import Answers, TooOld, require_version, weaknesses
from oppsync_worker.safety import StartCheck, check, refuse, unencrypted

GOOD = {"redis_version": "7.2.4", "aof_enabled": 1, "maxmemory_policy": "noeviction"}


@pytest.mark.parametrize(
    ("info", "fsync", "names"),
    [
        (GOOD, "always", []),
        ({**GOOD, "aof_enabled": 0}, "always", ["no_append_only_file"]),
        ({**GOOD, "aof_enabled": 0}, None, ["no_append_only_file"]),
        (GOOD, "everysec", ["append_fsync"]),
        (GOOD, "no", ["append_fsync"]),
        (GOOD, None, ["append_fsync_unknown"]),
        ({**GOOD, "maxmemory_policy": "allkeys-lru"}, "always", ["eviction"]),
        ({**GOOD, "maxmemory_policy": "volatile-ttl"}, "always", ["eviction"]),
        ({**GOOD, "aof_enabled": 0, "maxmemory_policy": "allkeys-lfu"}, None, ["no_append_only_file", "eviction"]),
        ({"redis_version": "7.2.4"}, "always", ["append_only_file_unknown", "eviction_unknown"]),
        (None, "always", ["durability_unknown"]),
        (None, None, ["durability_unknown"]),
    ],
)
def test_what_is_amiss_is_told(info: dict[str, object] | None, fsync: str | None, names: list[str]) -> None:
    """Each in one line: what, what it costs, what to do; what cannot be told is said to be so."""
    found = weaknesses(Answers(info, fsync))

    assert [one.name for one in found] == names
    for one in found:
        assert "\n" not in one.sentence
        assert one.sentence.count(";") >= 1, "what it costs or what to do is missing"
        assert ("cannot be told" in one.sentence) == one.name.endswith("_unknown") == (not one.known)


@pytest.mark.parametrize(
    ("rights", "names"),
    [("~* &* +@all", []), (None, []), ("-@all", ["default_user"]), ("~* &* +@all -flushall", ["default_user"])],
)
def test_a_default_user_without_rights_loses_everything_at_a_restart(rights: str | None, names: list[str]) -> None:
    """On a Redis that reads its append-only file with that user's rights."""
    assert [one.name for one in weaknesses(Answers(GOOD, "always", rights))] == names


@pytest.mark.parametrize("version", ["6.2.0", "6.2.14", "7.0.15", "8.2.3", "10.0.0", "", "unknown"])
def test_versions_that_work(version: str) -> None:
    """6.2 and newer; of a server that does not say, the scripts will tell."""
    require_version(Answers({"redis_version": version}, None))


@pytest.mark.parametrize("version", ["2.8.24", "4.0.14", "5.0.14", "6.0.20"])
def test_versions_that_do_not(version: str) -> None:
    """With both versions in the sentence."""
    with pytest.raises(TooOld, match=rf"Redis {version} is too old.*6\.2"):
        require_version(Answers({"redis_version": version}, None))


def instance(name: str, url: str) -> InstanceSettings:
    """One with an invented token."""
    return InstanceSettings(name=name, token=SecretStr("t"), base_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "https://crm.example",
        "http://127.0.0.1:8080",
        "http://127.8.9.10",
        "http://[::1]:80",
        "http://localhost:8080",
        "http://LOCALHOST",
        "http://sim.localhost",
    ],
)
def test_what_does_not_leave_this_machine_in_plain_text(url: str) -> None:
    """Encrypted, or on loopback."""
    assert unencrypted([instance("acme", url)]) == []


@pytest.mark.parametrize(
    "url",
    ["http://crm.example", "http://10.0.0.1", "http://[2001:db8::1]/x", "http://localhost.example", "http://0.0.0.0"],
)
def test_what_does(url: str) -> None:
    """With the instance's name, and neither its token nor its address."""
    (found,) = unencrypted([instance("acme", url), instance("globex", "https://crm.example")])

    assert found.name == "unencrypted_crm"
    assert "the CRM of acme is called over http://" in found.sentence
    assert "globex" not in found.sentence


def test_many_are_not_all_named() -> None:
    """A line has an end."""
    (found,) = unencrypted(instance(f"i{number}", "http://crm.example") for number in range(1_000))

    assert "i0, i1, i10, i100, i101 and 995 more" in found.sentence


@pytest.mark.parametrize(
    ("number", "said"), [(5, "of i0, i1, i2, i3, i4 is"), (6, "of i0, i1, i2, i3, i4 and 1 more is")]
)
def test_five_are_named(number: int, said: str) -> None:
    """And counted from the sixth on."""
    (found,) = unencrypted(instance(f"i{one}", "http://crm.example") for one in range(number))

    assert said in found.sentence


URL = "redis://127.0.0.1:1/0"
AWAY = LinkError("away")
SAFE = Answers(GOOD, "always")
FORGETS = Answers({**GOOD, "aof_enabled": 0}, "always")
OLD = Answers({**GOOD, "redis_version": "6.0.20"}, "always")
PLAIN = instance("acme", "http://crm.example")
CIPHERED = instance("acme", "https://crm.example")


@pytest.fixture
def redis_says(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Answers to give, one after the other; whoever sleeps is noted in the list of pauses that comes first."""
    given: list[Any] = [[]]

    def ask(client: Redis | None = None) -> Answers:
        # Whoever waits here does so by itself, and tells of it: the client must not try again unseen.
        assert client is None or client.get_retry().get_retries() == 0
        answer = given.pop(1)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Answers)
        return answer

    async def ask_async(*_: object) -> Answers:
        return ask()

    async def sleep(seconds: float) -> None:
        given[0].append(seconds)

    monkeypatch.setattr(safety, "ask", ask)
    monkeypatch.setattr(safety, "ask_async", ask_async)
    monkeypatch.setattr(safety.time, "sleep", given[0].append)
    monkeypatch.setattr(safety.asyncio, "sleep", sleep)
    yield given
    assert len(given) == 1, "not everything was asked for"


def test_a_redis_that_is_away_is_waited_for_only_where_it_must_be_known(redis_says: list[Any]) -> None:
    """Asked every two seconds."""
    redis_says += [AWAY]
    assert check(URL, require=False) is None
    assert redis_says == [[]]

    redis_says += [AWAY, AWAY, AWAY, SAFE]
    assert check(URL, require=True) == []
    assert redis_says == [[2.0, 2.0, 2.0]]


def test_what_is_waited_for_is_told_once(redis_says: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    """And again when it is something else."""
    redis_says += [AWAY, AWAY, BusyLoadingError("loading"), SAFE]
    with caplog.at_level(logging.WARNING):
        check(URL, require=True)

    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(set(said)) == 2
    assert all(one.startswith("waiting for Redis, whose durability is required: ") for one in said)


def test_what_redis_says_is_weighed(redis_says: list[Any]) -> None:
    """Once it says something."""
    redis_says += [FORGETS, OLD]
    assert [one.name for one in check(URL, require=False) or []] == ["no_append_only_file"]
    with pytest.raises(TooOld):
        check(URL, require=False)


def test_whoever_refuses_says_why_and_ends_as_wrong_settings_do(capsys: pytest.CaptureFixture[str]) -> None:
    """A line each, and exit code 2."""
    assert refuse(["one", "two"]).code == 2
    assert capsys.readouterr().err == "oppsync: one\noppsync: two\n"


def start(one: InstanceSettings, *, require: bool = False) -> tuple[StartCheck, list[str]]:
    """A worker's check, and the names of what it tells."""
    told: list[str] = []

    def tell(name: str, sentence: str) -> None:
        assert sentence.endswith(("address", "records")) or ";" in sentence
        told.append(name)

    return StartCheck(URL, [one], require=require, tell=tell), told


def test_all_that_is_amiss_is_told_at_the_start(redis_says: list[Any]) -> None:
    """The CRM's address first, then what Redis says."""
    redis_says += [FORGETS]
    checked, told = start(PLAIN)

    checked.at_start()

    assert told == ["unencrypted_crm", "no_append_only_file"]


@pytest.mark.parametrize(
    ("one", "answers", "says"),
    [
        (PLAIN, [], "oppsync: OPPSYNC_REQUIRE_DURABLE is set, and the CRM of acme is called over http://"),
        (CIPHERED, [FORGETS], "oppsync: OPPSYNC_REQUIRE_DURABLE is set, and "),
        (CIPHERED, [OLD], "oppsync: Redis 6.0.20 is too old"),
    ],
)
def test_what_is_required_and_missing_ends_the_start(
    one: InstanceSettings, answers: list[Any], says: str, redis_says: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2 and the sentence, and without a warning that is lost among others."""
    redis_says += answers
    checked, told = start(one, require=True)

    with pytest.raises(SystemExit) as ended:
        checked.at_start()

    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(says)
    assert told == []


def test_what_is_required_and_there_lets_it_start(redis_says: list[Any]) -> None:
    """In silence."""
    redis_says += [SAFE]
    checked, told = start(CIPHERED, require=True)

    checked.at_start()

    assert told == []


def test_a_server_that_is_too_old_ends_any_start(redis_says: list[Any]) -> None:
    """The scripts cannot run there."""
    redis_says += [OLD]
    with pytest.raises(SystemExit):
        start(CIPHERED)[0].at_start()


async def test_a_redis_that_was_away_is_asked_until_it_answers(redis_says: list[Any]) -> None:
    """And once only: what it says is told then."""
    redis_says += [AWAY]
    checked, told = start(PLAIN)
    checked.at_start()
    assert told == ["unencrypted_crm"]

    redis_says += [AWAY, FORGETS]
    await checked.until_heard(None)  # type: ignore[arg-type]

    assert told == ["unencrypted_crm", "no_append_only_file"]
    assert redis_says == [[2.0]]
    await checked.until_heard(None)  # type: ignore[arg-type]


async def test_a_redis_that_was_heard_at_the_start_is_not_asked_again(redis_says: list[Any]) -> None:
    """It has been weighed."""
    redis_says += [SAFE]
    checked, _ = start(CIPHERED)
    checked.at_start()

    await checked.until_heard(None)  # type: ignore[arg-type]


async def test_one_that_was_never_asked_has_not_been_heard(redis_says: list[Any]) -> None:
    """Whoever forgets the start still asks."""
    redis_says += [FORGETS]
    checked, told = start(CIPHERED)

    await checked.until_heard(None)  # type: ignore[arg-type]

    assert told == ["no_append_only_file"]


async def test_one_that_turns_out_to_be_too_old_is_no_redis_to_go_on_with(redis_says: list[Any]) -> None:
    """Whoever runs the worker decides what then."""
    redis_says += [AWAY]
    checked, _ = start(CIPHERED)
    checked.at_start()
    redis_says += [OLD]

    with pytest.raises(TooOld):
        await checked.until_heard(None)  # type: ignore[arg-type]

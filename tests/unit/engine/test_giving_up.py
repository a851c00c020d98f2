"""What becomes of a message that Celery gives up before it is settled."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from celery.worker import state as celery_state
from redis.exceptions import ConnectionError as RedisConnectionError

from oppsync_worker.contract.states import Cause
from oppsync_worker.engine import engine as engines
from oppsync_worker.engine.engine import Engine
from oppsync_worker.ledger import keys
from oppsync_worker.ledger.scripts import Call

GAVE_UP = "Celery gave the message up before it was settled"


class Stored:
    """What Redis holds of the claim and its job."""

    def __init__(self, state: str | None, kind: str | None) -> None:
        self.fields = [one.encode() if one else None for one in (state, kind)]
        self.job: bytes | None = b"j1"
        self.away: set[str] = set()

    def hget(self, key: str, field: str) -> bytes | None:
        """Whose claim it is."""
        if "hget" in self.away:
            raise RedisConnectionError
        return self.job if (key, field) == ("oppsync:claim:7", "job") else None

    def hmget(self, key: str, fields: list[str]) -> list[bytes | None]:
        """Where the job is."""
        if "hmget" in self.away:
            raise RedisConnectionError
        assert (key, fields) == (keys.job("j1"), ["state", "kind"])
        return self.fields


class Listener:
    """Remembers the letters."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def buried_unread(self, *told: object) -> None:
        """One."""
        self.heard.append(told)


Given = Callable[..., tuple[Engine, list[Call], Listener]]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """An engine with claim 7 in hand, and the scripts that it runs."""

    def make(stored: Stored, *, fails: bool = False) -> tuple[Engine, list[Call], Listener]:
        asked: list[Call] = []

        def run(_: object, call: Call) -> bytes:
            asked.append(call)
            if fails:
                raise RedisConnectionError
            return b"dead"

        monkeypatch.setattr(engines, "run", run)
        listener = Listener()
        one = Engine(redis_url="redis://127.0.0.1:1/0", lease_s=1.5, ttl_s=600, concurrency=1, reporter=listener)  # type: ignore[arg-type]
        one._redis = stored  # type: ignore[assignment]
        one.hands.take("7")
        return one, asked, listener

    return make


def settled(call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Who settles and how; and the rest by name."""
    rest = call.arguments[4:]
    return call.arguments[:4], dict(zip(map(str, rest[::2]), rest[1::2], strict=True))


@pytest.mark.parametrize("revoked", [False, True])
def test_a_create_that_was_being_sent_is_in_doubt(
    given: Given, monkeypatch: pytest.MonkeyPatch, *, revoked: bool
) -> None:
    """It may have been carried out: buried, a person would send it a second time."""
    monkeypatch.setattr(celery_state, "revoked", {"j1"} if revoked else set())
    engine, asked, listener = given(Stored("sending", "opportunities.create"))

    engine.acknowledged("7")

    (call,) = asked
    who, how = settled(call)
    assert (call.script, who) == ("settle", ("7", "j1", "in_doubt", 600))
    attempt = json.loads(how["attempt"])
    assert (attempt["error"], attempt["attempt"], attempt["ms"], attempt["status"]) == ("GivenUp", 0, 0, None)
    assert attempt["message"].startswith("revoked through" if revoked else GAVE_UP)
    assert how["detail"] == attempt["message"]
    assert listener.heard == []


def test_an_update_that_was_being_sent_is_left_to_its_lease(given: Given) -> None:
    """It may be sent again."""
    engine, asked, listener = given(Stored("sending", "opportunities.update"))

    engine.acknowledged("7")

    assert (asked, listener.heard) == ([], [])


@pytest.mark.parametrize(
    ("state", "kind", "revoked"),
    [
        ("queued", "opportunities.create", False),
        ("queued", "opportunities.create", True),
        ("queued", "opportunities.update", False),
        ("sending", "opportunities.update", True),
        (None, None, False),
    ],
)
def test_what_was_not_being_sent_is_buried(
    given: Given, monkeypatch: pytest.MonkeyPatch, state: str | None, kind: str | None, *, revoked: bool
) -> None:
    """It must not disappear; who gave it up is told."""
    monkeypatch.setattr(celery_state, "revoked", {"j1"} if revoked else set())
    engine, asked, listener = given(Stored(state, kind))

    engine.acknowledged("7")

    (call,) = asked
    who, how = settled(call)
    assert who == ("7", "j1", "dead", 600)
    assert how["cause"] == "internal"
    assert how["detail"].startswith("revoked through" if revoked else GAVE_UP)
    assert listener.heard == [("j1", "", Cause.INTERNAL, how["detail"])]


def test_a_settled_or_unknown_claim_is_only_dropped(given: Given) -> None:
    """The ordinary end of every job: nothing is asked of Redis."""
    engine, asked, _ = given(Stored("queued", None))
    engine.hands.settle("7")

    engine.acknowledged("7")
    engine.acknowledged("8")

    assert (asked, len(engine.hands)) == ([], 0)


@pytest.mark.parametrize("away", ["hget", "hmget"])
def test_without_redis_it_is_left_to_its_lease(given: Given, away: str) -> None:
    """Nothing is decided about a job of which nothing is known."""
    stored = Stored("queued", "opportunities.create")
    stored.away = {away}
    engine, asked, listener = given(stored)

    engine.acknowledged("7")

    assert (asked, listener.heard) == ([], [])


def test_a_claim_without_a_job_is_nobody_s(given: Given) -> None:
    """It was taken over meanwhile."""
    stored = Stored("queued", "opportunities.create")
    stored.job = None
    engine, asked, _ = given(stored)

    engine.acknowledged("7")
    engine.bury("7", {"task": "x"}, cause=Cause.MALFORMED, detail="d")

    assert asked == []


def test_a_burial_that_failed_is_not_told(given: Given) -> None:
    """The claim is left to its lease, and the letter will be another's."""
    engine, asked, listener = given(Stored("queued", None), fails=True)

    engine.bury("7", {"task": "t" * 300}, cause=Cause.MALFORMED, detail="d")

    assert (len(asked), listener.heard, engine.hands.to_renew()) == (1, [], [])


def test_a_burial_names_the_task_in_bounds(given: Given) -> None:
    """And leaves the claim settled."""
    engine, asked, listener = given(Stored("queued", None))

    engine.bury("7", {"task": "t" * 300}, cause=Cause.MALFORMED, detail="d")

    who, how = settled(asked[0])
    assert who == ("7", "j1", "dead", 600)
    assert (how["cause"], how["detail"], how["kind"]) == ("malformed", "d", "t" * 200)
    assert listener.heard == [("j1", "t" * 200, Cause.MALFORMED, "d")]
    assert engine.hands.drop("7") is engines.Hold.SETTLED

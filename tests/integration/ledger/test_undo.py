"""Each kind of write is taken back exactly, whatever was there before; and where a right lacks, nearly."""

import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
import redis

from integration.ledger.aborting import everything
from oppsync_worker.ledger import assembly
from oppsync_worker.ledger.rights import WRITES

BEFORE = """
redis.call('HSET', 'oppsync:job:a', 'state', 'queued', 'kind', 'x', 'n', '4')
redis.call('HSET', 'oppsync:claim:1', 'job', 'a', 'message', 'm')
redis.call('HSET', 'h', 'a', '1', 'b', '2')
redis.call('ZADD', 'z', '1', 'a', '2.5', 'b', '-7', 'c')
redis.call('SADD', 's', 'a', 'b')
redis.call('RPUSH', 'l', 'a', 'b', 'c', 'b')
redis.call('SET', 'v', 'old')
redis.call('SET', 'celery-task-meta-a', 'old', 'EX', '1000')
redis.call('RPUSH', 'timed', 'a', 'b')
redis.call('EXPIRE', 'timed', '1000')
redis.call('HSET', 'timed-hash', 'a', '1', 'b', '2')
redis.call('EXPIRE', 'timed-hash', '1000')
redis.call('ZADD', 'timed-set', '1', 'a', '2', 'b')
redis.call('EXPIRE', 'timed-set', '1000')
for i = 1, 1200 do redis.call('HSET', 'big', 'field ' .. i, i) end
"""
STEPS = [
    "'HSET', 'h', 'a', '9'",
    "'HSET', 'h', 'new', '9'",
    "'HSET', 'h', 'a', '9', 'new', '9'",
    "'HSET', 'oppsync:job:a', 'state', 'dead', 'since', 5",
    "'HSET', 'oppsync:job:new', 'state', 'queued', 'kind', 'x'",
    "'HSET', 'h', 'a', '9', 'b', '9', 'c', '9', 'd', '9', 'e', '9'",
    "'HSET', 'h', 'n', '9', 'o', '9', 'p', '9', 'q', '9', 'r', '9'",
    "'HSET', 'new', 'a', '9', 'b', '9', 'c', '9', 'd', '9', 'e', '9'",
    "'HSET', 'new', 'state', '9', 'since', '9', 'c', '9', 'd', '9', 'e', '9'",
    "'HSET', 'h', 'a', '1'",
    "'HSETNX', 'h', 'a', '9'",
    "'HSETNX', 'h', 'new', '9'",
    "'HINCRBY', 'oppsync:job:a', 'n', 1",
    "'HINCRBY', 'oppsync:job:a', 'new', -1",
    "'HDEL', 'h', 'a'",
    "'HDEL', 'h', 'none'",
    "'HDEL', 'h', 'a', 'b', 'none'",
    "'ZADD', 'z', '5', 'a'",
    "'ZADD', 'z', 5, 'new'",
    "'ZADD', 'z', '5', 'a', '6', 'new'",
    "'ZADD', 'z', 'NX', '5', 'a'",
    "'ZADD', 'z', 'NX', '5', 'new'",
    "'ZADD', 'z', 'XX', '5', 'a'",
    "'ZADD', 'z', 'XX', '5', 'new'",
    "'ZREM', 'z', 'a'",
    "'ZREM', 'z', 'a', 'none', 'b', 'c'",
    "'ZREMRANGEBYSCORE', 'z', '-inf', 2",
    "'ZREMRANGEBYSCORE', 'z', '-inf', 9",
    "'ZREMRANGEBYSCORE', 'z', 8, 9",
    "'ZREMRANGEBYSCORE', 'timed-set', 1, 1",
    "'SADD', 's', 'a', 'new'",
    "'SREM', 's', 'a', 'none', 'b'",
    "'LPUSH', 'l', 'new', 'newer'",
    "'RPUSH', 'l', 'new'",
    "'RPUSH', 'l', 'new', 'newer'",
    "'LPUSH', 'none', 'new'",
    "'LPOP', 'l'",
    "'RPOP', 'l'",
    "'RPOP', 'none'",
    "'LSET', 'l', 1, 'new'",
    "'LTRIM', 'l', -2, -1",
    "'LTRIM', 'l', -9, -1",
    "'LTRIM', 'l', -4, -1",
    "'LTRIM', 'l', -3, -1",
    "'LTRIM', 'l', 0, -1",
    "'LTRIM', 'l', 1, -1",
    "'LTRIM', 'l', 0, -2",
    "'LTRIM', 'l', -9, 0",
    "'LTRIM', 'timed', 1, 1",
    "'SET', 'v', 'new'",
    "'SET', 'v', 'new', 'PX', 60000",
    "'SET', 'new', 'new', 'EX', 5",
    "'SET', 'celery-task-meta-a', 'new'",
    "'SET', 'celery-task-meta-a', 'new', 'KEEPTTL'",
    "'DEL', 'h'",
    "'DEL', 'z', 's0', 'l'",
    "'DEL', 'timed'",
    "'DEL', 'timed-hash'",
    "'DEL', 'timed-set'",
    "'DEL', 'big'",
    "'DEL', 'none'",
    "'DEL', 'v', 'celery-task-meta-a', 'none'",
    "'DEL', 'oppsync:claim:1'",
    "'EXPIRE', 'h', 10",
    "'EXPIRE', 'none', 10",
    "'PEXPIRE', 'timed', 10000",
    "'INCR', 'oppsync:order'",
    "'PUBLISH', 'channel', 'message'",
]


def composed(body: str) -> str:
    """A script that does this, inside of what is around every script."""
    around = (files(assembly.__package__) / "lua" / f"{assembly.AROUND}.lua").read_text("utf-8")
    return f"{around}local function main()\n{assembly.direct(body)}\nend\nreturn whole(main)"


def tried(step: str) -> str:
    """A write that may be refused."""
    called, _, _ = assembly.direct(f"redis.call({step})").partition("(")
    return f"pcall({called}, {step})"


def test_every_write_is_tried() -> None:
    """All that scripts may use."""
    assert {step.split("'")[1].lower() for step in STEPS} == set(WRITES)


@pytest.mark.parametrize("step", STEPS)
def test_a_write_is_taken_back(ledger: redis.Redis, step: str) -> None:
    """The error is the one that was raised; and without one the write is done as Redis does it."""
    ledger.eval(BEFORE, 0)
    before = everything(ledger)

    with pytest.raises(redis.ResponseError, match="by a bug"):
        ledger.eval(composed(f"redis.call({step}) error('by a bug')"), 0)

    assert everything(ledger) == before
    answer = ledger.eval(composed(f"return redis.call({step})"), 0)
    after = everything(ledger)
    ledger.flushall()
    ledger.eval(BEFORE, 0)
    plain = ledger.eval(f"return redis.call({step})", 0)
    assert everything(ledger) == after
    assert answer == plain or step.startswith(("'LTRIM'", "'PUBLISH'", "'INCR'"))


@pytest.mark.parametrize("first", STEPS)
def test_writes_are_taken_back_latest_first(ledger: redis.Redis, first: str) -> None:
    """Of the same keys, again and again."""
    ledger.eval(BEFORE, 0)
    before = everything(ledger)
    # Some are refused after others, as setting an element of a list that is gone.
    body = "\n".join(tried(step) for step in (first, *STEPS, first))

    with pytest.raises(redis.ResponseError, match="by a bug"):
        ledger.eval(composed(f"{body}\nerror('by a bug')"), 0)

    assert everything(ledger) == before


@pytest.fixture
def refuse(with_rights: Callable[..., redis.Redis]) -> Callable[..., redis.Redis]:
    """Gives a client that lacks some commands."""
    return lambda *commands: with_rights(*(f"-{command}" for command in commands))


@pytest.mark.parametrize(
    ("lacks", "step", "left"),
    [
        # A list is whole again, if in another order.
        ("rpush", "'RPOP', 'l'", {"l": [b"b", b"a", b"b", b"c"]}),
        ("lpush", "'LPOP', 'l'", {"l": [b"b", b"c", b"b", b"a"]}),
        ("lpop", "'LPUSH', 'l', 'new'", {}),
        ("rpop", "'RPUSH', 'l', 'new'", {}),
        ("lpop", "'LPUSH', 'none', 'new'", {}),
        ("hdel", "'HSET', 'oppsync:job:new', 'state', 'queued', 'kind', 'x'", {}),
        ("hdel", "'HSET', 'oppsync:job:new', 'kind', 'x', 'state', 'queued'", {}),
        ("hdel del", "'HSET', 'oppsync:job:new', 'state', 'queued', 'kind', 'x'", {"oppsync:job:new": "discarded"}),
    ],
)
def test_where_a_right_lacks_another_command_takes_it_back(
    ledger: redis.Redis, refuse: Any, lacks: str, step: str, left: dict[str, Any]
) -> None:
    """Nothing is lost by it, and what is left counts for nothing."""
    ledger.eval(BEFORE, 0)
    before = everything(ledger)

    with pytest.raises(redis.ResponseError, match="by a bug") as error:
        refuse(*lacks.split()).eval(composed(f"redis.call({step}) error('by a bug')"), 0)

    assert "taken back" not in str(error.value)
    after = everything(ledger)
    changed = {key.decode() for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert changed == left.keys()
    if "l" in left:
        assert ledger.lrange("l", 0, -1) == left["l"]
    if "oppsync:job:new" in left:
        entry = ledger.hgetall("oppsync:job:new")
        assert (entry[b"state"], entry[b"cause"]) == (b"discarded", b"aborted")


def test_a_key_that_may_not_be_deleted_ends_by_itself(ledger: redis.Redis, refuse: Any) -> None:
    """At once."""
    with pytest.raises(redis.ResponseError, match="by a bug"):
        refuse("del").eval(composed("redis.call('SET', 'v', 'new') error('by a bug')"), 0)

    assert not ledger.get("v")


@pytest.mark.parametrize(
    ("bug", "said"),
    [
        ("error('by a bug', 0)", "by a bug"),
        ("redis.call('HSET', 'l', 'a', 'b')", "WRONGTYPE"),
    ],
)
def test_what_cannot_be_taken_back_is_said(ledger: redis.Redis, refuse: Any, bug: str, said: str) -> None:
    """With the first refusal, after what was wrong; all else is taken back."""
    ledger.eval(BEFORE, 0)
    before = everything(ledger)
    steps = "redis.call('HSET', 'h', 'a', '9') redis.call('ZADD', 'z', '5', 'new') redis.call('HSET', 'h', 'b', '9')"

    with pytest.raises(redis.ResponseError, match=said) as error:
        refuse("zrem").eval(composed(f"{steps} {bug}"), 0)

    whole = str(error.value)
    assert re.search(r" \(and what it had done could not all be taken back: [^)]*(run|permission|NOPERM)", whole), whole
    assert "table: " not in whole
    assert whole.index(said) < whole.index("taken back")
    assert ledger.zrem("z", "new") == 1
    assert everything(ledger) == before


def test_what_is_refused_while_it_is_looked_at_is_an_error(ledger: redis.Redis, refuse: Any) -> None:
    """Nothing is deleted of which it is not known how to put it back."""
    ledger.eval(BEFORE, 0)
    before = everything(ledger)

    for command, key in (("hgetall", "h"), ("zrange", "z"), ("lrange", "l"), ("get", "v")):
        with pytest.raises(redis.ResponseError, match=r"(?i)run|permission|NOPERM"):
            refuse(command).eval(composed(f"redis.call('DEL', '{key}')"), 0)

    assert everything(ledger) == before


def test_what_is_published_and_let_go_of_comes_last(ledger: redis.Redis) -> None:
    """After all else, and not at all when something was wrong."""
    ledger.eval(BEFORE, 0)
    with ledger.pubsub() as heard:
        heard.subscribe("channel")
        assert (heard.get_message(timeout=10) or {})["type"] == "subscribe"
        body = "redis.call('PUBLISH', 'channel', 'm') redis.call('DEL', 'oppsync:claim:1')"

        ledger.eval(composed(f"{body} return redis.call('EXISTS', 'oppsync:claim:1')"), 0)
        assert (heard.get_message(timeout=10) or {})["data"] == b"m"
        assert not ledger.exists("oppsync:claim:1")

        ledger.eval(BEFORE, 0)
        with pytest.raises(redis.ResponseError, match="by a bug"):
            ledger.eval(composed(f"{body} error('by a bug')"), 0)
        assert heard.get_message(timeout=0.05) is None
        assert ledger.exists("oppsync:claim:1")


def test_a_refusal_to_publish_takes_all_back(ledger: redis.Redis, refuse: Any) -> None:
    """The claim's message too, which was deleted just before."""
    ledger.eval(BEFORE, 0)
    before = everything(ledger)
    body = "redis.call('HSET', 'h', 'a', '9') redis.call('DEL', 'oppsync:claim:1') redis.call('PUBLISH', 'c', 'm')"

    with pytest.raises(redis.ResponseError, match=r"(?i)run|permission|NOPERM"):
        refuse("publish").eval(composed(body), 0)

    assert everything(ledger) == before

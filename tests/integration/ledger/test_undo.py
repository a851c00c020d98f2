"""Each kind of write is taken back exactly, whatever was there before."""

from importlib.resources import files

import pytest
import redis

from integration.ledger.aborting import everything
from oppsync_worker.ledger import scripts
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
"""
STEPS = [
    "'HSET', 'h', 'a', '9'",
    "'HSET', 'h', 'new', '9'",
    "'HSET', 'h', 'a', '9', 'new', '9'",
    "'HSET', 'oppsync:job:a', 'state', 'dead', 'since', 5",
    "'HSET', 'oppsync:job:new', 'state', 'queued', 'kind', 'x'",
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
    "'SADD', 's', 'a', 'new'",
    "'SREM', 's', 'a', 'none', 'b'",
    "'LPUSH', 'l', 'new', 'newer'",
    "'RPUSH', 'l', 'new'",
    "'LPUSH', 'none', 'new'",
    "'LPOP', 'l'",
    "'RPOP', 'l'",
    "'RPOP', 'none'",
    "'LSET', 'l', 1, 'new'",
    "'LTRIM', 'l', -2, -1",
    "'LTRIM', 'l', -9, -1",
    "'LTRIM', 'timed', 1, 1",
    "'SET', 'v', 'new'",
    "'SET', 'v', 'new', 'PX', 60000",
    "'SET', 'new', 'new', 'EX', 5",
    "'SET', 'celery-task-meta-a', 'new'",
    "'SET', 'celery-task-meta-a', 'new', 'KEEPTTL'",
    "'DEL', 'h'",
    "'DEL', 'z', 's0', 'l'",
    "'DEL', 'timed'",
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
    around = (files(scripts.__package__) / "lua" / f"{scripts.AROUND}.lua").read_text("utf-8")
    return f"{around}local function main()\n{scripts.direct(body)}\nend\nreturn whole(main)"


def tried(step: str) -> str:
    """A write that may be refused."""
    called, _, _ = scripts.direct(f"redis.call({step})").partition("(")
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

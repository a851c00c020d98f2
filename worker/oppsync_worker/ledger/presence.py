"""Which workers are there: a sign of life each, on Redis' clock."""

from typing import Final, cast

from redis import Redis

from oppsync_worker.ledger import keys
from oppsync_worker.ledger.scripts import Call

SIGN_EVERY_S: Final = 5.0
SILENT_AFTER_S: Final = 20.0
"""A worker not heard of for this long is not counted on."""


def present(name: str, *, hands: int | None = None) -> Call:
    """The worker `host:pid` is alive, and has hands for so many calls at once."""
    return Call("present", (name, 1) if hands is None else (name, 1, hands, int(SILENT_AFTER_S * 1000)))


def gone(name: str) -> Call:
    """The worker has stopped of its own will."""
    return Call("present", (name, 0, 0, int(SILENT_AFTER_S * 1000)))


def alive(client: Redis) -> list[str]:
    """Workers, as `host:pid`, that gave a sign of life lately. Raises `RedisError`."""
    seconds, _ = client.time()
    found = client.zrangebyscore(keys.WORKERS, (seconds - SILENT_AFTER_S) * 1000, "+inf")
    return sorted(name.decode() for name in cast("list[bytes]", found))


def watch(name: str, queues: list[str], *, trace_s: float) -> Call:
    """Whether Redis takes writes, which it proves by taking one; answers with the messages that lie in the queues."""
    return Call("watch", (name, int(trace_s * 1000), *queues))

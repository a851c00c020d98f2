"""Which workers are there: a sign of life each, on Redis' clock."""

from typing import Final, cast

from redis import Redis

from oppsync_worker.ledger import keys
from oppsync_worker.ledger.scripts import Call

SIGN_EVERY_S: Final = 5.0
SILENT_AFTER_S: Final = 20.0
"""A worker not heard of for this long is not counted on."""


def present(name: str) -> Call:
    """The worker `host:pid` is alive."""
    return Call("present", (name, 1))


def gone(name: str) -> Call:
    """The worker has stopped of its own will."""
    return Call("present", (name, 0))


def alive(client: Redis) -> list[str]:
    """Workers, as `host:pid`, that gave a sign of life lately. Raises `RedisError`."""
    seconds, _ = client.time()
    found = client.zrangebyscore(keys.WORKERS, (seconds - SILENT_AFTER_S) * 1000, "+inf")
    return sorted(name.decode() for name in cast("list[bytes]", found))


def watch(name: str, queues: list[str], *, trace_s: float) -> Call:
    """Whether Redis takes writes, which it proves by taking one; answers with the messages that lie in the queues."""
    return Call("watch", (name, int(trace_s * 1000), *queues))

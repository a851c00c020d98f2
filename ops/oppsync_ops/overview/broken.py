"""Lanes and instances of which workers met a key that holds a value of another type than it should."""

from typing import Any, Final

from redis import Redis

from oppsync_worker.ledger import keys

SINCE_S: Final = 180
"""What is broken is met again at least once a minute, as long as anything is to be done there."""

SHOWN: Final = 10


def broken_keys(client: Redis) -> list[str]:
    """A sentence for each that was met lately, the first of them by name."""
    clock: Any = client.time()
    met: Any = client.zrangebyscore(keys.BROKEN, int(clock[0]) - SINCE_S, "+inf")
    names = [name.decode("utf-8", "replace") for name in met]
    said = [
        f"{name}: one of its keys in Redis holds a value of another type, so that nobody is served there. Somebody has"
        " written to it by hand: rename that key, and the sweep puts back what stood there"
        for name in names[:SHOWN]
    ]
    return said + ([f"and {len(names) - SHOWN} more such"] if len(names) > SHOWN else [])

"""A Redis that forgets: what a promoted replica does that lacked the last writes."""

import redis


class Memory:
    """All of a Redis at one moment, and the way back to it."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._kept: dict[bytes, tuple[bytes, int]] = {}

    def take(self) -> None:
        """Keep everything as it is now."""
        self._kept = {}
        for key in self._client.scan_iter(count=1000):
            pipe = self._client.pipeline()
            pipe.dump(key)
            pipe.pttl(key)
            dumped, ttl = pipe.execute()
            if dumped is not None:
                self._kept[key] = (dumped, max(0, ttl))

    def restore(self) -> None:
        """Forget everything that was written since, scripts included."""
        pipe = self._client.pipeline()
        pipe.flushall()
        for key, (dumped, ttl) in self._kept.items():
            pipe.restore(key, ttl, dumped)
        pipe.execute()
        self._client.script_flush()

"""Everything in the ledger at one moment, taken in with one script."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import redis

from integration.ledger.desk import LANES

PLACES = {"scheduled": "schedule", "blocked": "blocked", "in_doubt": "in_doubt", "dead": "dead"}

_SCRIPT = """
local found = {}
local keys = redis.call('KEYS', 'oppsync:*')
for _, key in ipairs(redis.call('KEYS', 'celery-task-meta-*')) do keys[#keys + 1] = key end
for _, key in ipairs(keys) do
  local kind = redis.call('TYPE', key).ok
  local value = {}
  if kind == 'hash' then value = redis.call('HGETALL', key)
  elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'string' then value = { 'value', redis.call('GET', key) } end
  found[#found + 1] = { key, redis.call('TTL', key), value }
end
return { found, redis.call('LRANGE', KEYS[1], 0, -1), redis.call('LRANGE', KEYS[2], 0, -1) }
"""


@dataclass(slots=True)
class Snapshot:
    """By key, without its prefix: a hash's fields, a sorted set's members with their scores."""

    hashes: dict[str, dict[str, str]] = field(default_factory=dict)
    ttls: dict[str, int] = field(default_factory=dict)
    messages: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Job id -> the lanes and claims that hold a message of it."""
    places: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Job id -> the sorted sets that it stands in because of its state."""

    @classmethod
    def of(cls, client: redis.Redis) -> "Snapshot":
        """Take it all in."""
        seen = cls()
        found, *lanes = client.eval(_SCRIPT, 2, *LANES)
        for key, ttl, value in found:
            name = key.decode().removeprefix("oppsync:")
            seen.ttls[name] = ttl
            texts = [item.decode() for item in value]
            seen.hashes[name] = dict(zip(texts[::2], texts[1::2], strict=True))
        for lane, raws in zip(LANES, lanes, strict=True):
            for raw in raws:
                seen.messages[json.loads(raw)["headers"]["id"]].append(lane)
        for name, entry in seen.hashes.items():
            if name.startswith("claim:"):
                seen.messages[entry["job"]].append(name)
            elif name in PLACES.values() or name.startswith(("waiting:", "held:")):
                for job_id in entry:
                    seen.places[job_id].append(name)
        return seen

    def jobs(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Every job that has an entry or stands in a place."""
        entries = {name.removeprefix("job:") for name in self.hashes if name.startswith("job:")}
        for job_id in sorted(entries | set(self.places)):
            yield job_id, self.job(job_id)

    def job(self, job_id: str) -> dict[str, str]:
        """A job's entry; empty when there is none."""
        return self.of_key(f"job:{job_id}")

    def of_key(self, name: str) -> dict[str, str]:
        """One key; empty when it is not there."""
        return self.hashes.get(name, {})

    def named(self, prefix: str) -> Iterator[tuple[str, dict[str, str]]]:
        """Keys that begin so, each without it."""
        for name, value in self.hashes.items():
            if name.startswith(prefix):
                yield name.removeprefix(prefix), value

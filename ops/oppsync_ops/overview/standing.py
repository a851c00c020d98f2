"""How many jobs are where: one look at every place of the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis import Redis

from oppsync_ops.jobs.entries import text
from oppsync_ops.jobs.moments import iso, moment, now_ms
from oppsync_ops.overview.holds import Hold, read_holds
from oppsync_worker.contract.names import Lane
from oppsync_worker.ledger import keys
from oppsync_worker.ledger.durability import ask, weaknesses
from oppsync_worker.ledger.operating import held_instances
from oppsync_worker.ledger.presence import alive


@dataclass(frozen=True, slots=True)
class Place:
    """Jobs in one place: how many, and since when (or, for the schedule, until when) the first of them, in ms."""

    jobs: int
    first: int | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"jobs": self.jobs, "first": iso(moment(self.first))}


@dataclass(frozen=True, slots=True)
class Standing:
    """All there is to see on one screen."""

    now: int
    workers: tuple[str, ...]
    """Those that gave a sign of life lately, as host:pid."""
    lanes: Mapping[str, int]
    claimed: int
    silent: int
    """Claims whose lease ran out: their worker is lost, and another takes the jobs back, some seconds later."""
    places: Mapping[str, Place]
    undecided: int
    """Creates in doubt that wait for a person."""
    waiting: Mapping[str, int]
    holds: tuple[Hold, ...]
    strays: Mapping[str, int]
    """What sweeps have ever found in no place or without a job, by word; must be empty."""
    swept_at: int | None
    surplus: tuple[str, ...]
    """Creates of which two attempts made a record each, or may have; the last hundred."""
    clock_ahead_ms: int
    """By how much Redis' clock has jumped forward, as far as deadlines are judged without that."""
    server: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "at": iso(moment(self.now)),
            "workers": list(self.workers),
            "lanes": dict(self.lanes),
            "leases": {"jobs": self.claimed, "overdue": self.silent},
            **{name: place.as_dict() for name, place in self.places.items()},
            "undecided": self.undecided,
            "waiting": dict(self.waiting),
            "held": {hold.instance: hold.held for hold in self.holds if hold.held},
            "holds": [hold.as_dict() for hold in self.holds],
            "strays": dict(self.strays),
            "swept_at": iso(moment(self.swept_at)),
            "surplus": list(self.surplus),
            "clock_ahead_seconds": self.clock_ahead_ms / 1000,
            "redis": dict(self.server),
        }


_PLACES = {
    "schedule": keys.SCHEDULE,
    "blocked": keys.BLOCKED,
    "in_doubt": keys.IN_DOUBT,
    "dead": keys.DEAD,
}


def read_standing(client: Redis) -> Standing:
    """Look at everything; the figures are of about the same moment, not of exactly the same."""
    now = now_ms(client)
    pipe: Any = client.pipeline(transaction=False)
    for lane in Lane:
        pipe.llen(lane.queue)
    pipe.zcard(keys.LEASES)
    pipe.zcount(keys.LEASES, "-inf", now)
    for place in _PLACES.values():
        pipe.zcard(place)
        pipe.zrange(place, 0, 0, withscores=True)
    answers = pipe.execute()
    lanes = dict(zip((lane.queue for lane in Lane), answers, strict=False))
    claimed, silent, *rest = answers[len(lanes) :]
    places = {
        name: Place(rest[2 * at], int(rest[2 * at + 1][0][1]) if rest[2 * at + 1] else None)
        for at, name in enumerate(_PLACES)
    }
    return Standing(
        now=now,
        workers=tuple(alive(client)),
        lanes=lanes,
        claimed=claimed,
        silent=silent,
        places=places,
        undecided=max(0, places["in_doubt"].jobs - int(client.zcard(keys.PROBES))),
        waiting=_waiting(client),
        holds=tuple(read_holds(client)),
        **_sweeps(client),
        surplus=_surplus(client),
        clock_ahead_ms=_clock_ahead_ms(client, now),
        server=_server(client),
    )


def _sweeps(client: Redis) -> dict[str, Any]:
    found: Any = client.hgetall(keys.SWEEP)
    facts = {text(name): int(value) for name, value in found.items() if text(value).isdigit()}
    words = {name.removeprefix("found:"): count for name, count in facts.items() if name.startswith("found:")}
    return {"strays": words, "swept_at": facts.get("began")}


def _surplus(client: Redis) -> tuple[str, ...]:
    found: Any = client.zrevrange(keys.SURPLUS, 0, 99)
    return tuple(map(text, found))


def _clock_ahead_ms(client: Redis, now: int) -> int:
    ahead, at = (int(value or 0) for value in client.hmget(keys.CLOCK, ["ahead", "at"]))
    return ahead if now - at < keys.CLOCK_GRACE_MS else 0


def _waiting(client: Redis) -> dict[str, int]:
    # Whoever waits has its instance looked at for slots, or on hold.
    pending: Any = client.zrange(keys.SLOTS, 0, -1)
    instances = sorted({*map(text, pending), *held_instances(client)})
    pipe: Any = client.pipeline(transaction=False)
    for instance in instances:
        pipe.zcard(keys.waiting(instance))
    return {instance: jobs for instance, jobs in zip(instances, pipe.execute(), strict=True) if jobs}


def _server(client: Redis) -> dict[str, Any]:
    told = ask(client)
    info = told.info or {}
    return {
        "product": "Valkey" if "valkey_version" in info else "Redis",
        "version": str(info.get("valkey_version") or told.version),
        "role": str(info.get("role", "")),
        "memory": str(info.get("used_memory_human", "")),
        "append_only_file": bool(info.get("aof_enabled")),
        # Managed servers and careful ACLs do not tell.
        "append_fsync": told.fsync or "unknown",
        "eviction": str(info.get("maxmemory_policy", "")),
        "warnings": [one.sentence for one in weaknesses(told)],
    }

"""Queue elements that are no jobs: each must become a dead letter with its raw bytes, and nothing else may happen."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from oppsync_ops.prove.load import INSTANCES

SHARE: Final = 0.01
"""Poison elements for one job."""
LEAST: Final = 11


@dataclass(frozen=True, slots=True)
class Poison:
    """One element: when it is pushed (a fraction of the load), onto which lane, and its bytes, unlike all others'."""

    name: str
    at: float
    lane: str
    raw: bytes
    borrows: str | None = None
    """The good job whose id it bears, and of which it is no copy."""


def draw_poison(seed: int, jobs: int) -> tuple[Poison, ...]:
    """Some of every kind, in order of time."""
    chance = Random(f"{seed}/poison")
    kinds = len(list(_kinds("")))
    found = []
    for number in range(max(LEAST, round(SHARE * jobs))):
        name = f"poison-{number}"
        kind, raw = list(_kinds(name))[number % kinds]
        lane = chance.choice(("interactive", "bulk"))
        found.append(Poison(f"{name} ({kind})", chance.uniform(0.05, 0.9), lane, raw))
    return tuple(sorted(found, key=lambda one: one.at))


def _kinds(name: str) -> Iterator[tuple[str, bytes]]:
    job = {"instance": INSTANCES[0], "funnel_id": 7, "title": "Poison"}
    yield "not JSON", f"hello, I am {name}".encode()
    yield "an object without anything", _json({"name": name})
    yield "a list", _json([name])
    yield "no task", _message(name, headers={"id": name})
    yield "an id that is a path", _message(name, headers={"task": "opportunities.create", "id": f"../{name}"})
    yield "a body that is no base64", _message(name, body="%%%", properties={"body_encoding": "base64"})
    yield "an unknown task", _message(name, headers={"task": "billing.charge", "id": name})
    yield "another content type", _message(name, **{"content-type": "application/x-python-serialize"})
    yield "fields that break the contract", _message(name, body=_json([[], job, {}]).decode())
    yield "positional arguments", _message(name, body=_json([["alder"], {}, {}]).decode())
    yield "larger than a worker reads", _message(name, body="x" * 300_000)


def _message(name: str, **changed: Any) -> bytes:
    whole: dict[str, Any] = {
        "body": "[[], {}, {}]",
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": "opportunities.create", "id": name},
        "properties": {"delivery_tag": name, "body_encoding": "utf-8", "delivery_info": {}},
    }
    return _json({**whole, **changed})


def _json(document: object) -> bytes:
    return json.dumps(document).encode()

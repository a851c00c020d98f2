"""Queue elements made to hurt: each must end as a dead letter that has its bytes, and no good job may feel any of them.

Bytes cross four readers on their way to the CRM: Lua's JSON, Python's JSON, the contract and the client's encoder. What
one of them takes, the next may not. Each family aims at one such seam, and the seed draws the details: which field, how
deep, how long. Whatever a family is about, the job in it breaks the contract too, so that there is one right end.

One family bears the ids of good jobs: it is put aside as any other, and the good job must end as if nothing had been.
"""

import base64
import bz2
import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any, Final

from oppsync_ops.prove.load import INSTANCES
from oppsync_ops.prove.planned import FUNNEL_ID, PlannedJob
from oppsync_ops.prove.poison import Poison

SHARE: Final = 0.05
"""Hostile elements for one job."""

LONE: Final = ("\ud800", "\udbff", "\udc00", "\udfff", "a\ud83d", "\ude00z")
BAD_UTF8: Final = (b"\xed\xa0\x80", b"\xff\xfe", b"\xc0\xaf", b"\xf5\x80\x80\x80", b"\xe2\x82")
TASKS: Final = ("opportunities.create", "opportunities.update")
WRONG: Final[tuple[object, ...]] = (None, True, 7, -1, 1e300, [], ["x"], {}, {"x": 1}, "")
CALLED_BACK: Final = "called-back-"
"""How the ids of callbacks begin."""
PLACE: Final = "@@here@@"
"""Stands in JSON text where bytes go that no JSON encoder would write."""
HUGE: Final = (120_000, 180_000)
DEPTH: Final = (900, 60_000)

Family = Callable[[Random, str], bytes]


def draw_hostile(seed: int, count: int, jobs: Sequence[PlannedJob]) -> tuple[Poison, ...]:
    """Some of every family, in order of time; `jobs` are those whose ids are borrowed."""
    chance = Random(f"{seed}/hostile")
    families = list(FAMILIES.items())
    own = [job for job in jobs if not job.foreign and not job.twice]
    found = []
    for number in range(max(len(families) + 1, round(SHARE * count))):
        name, lane = f"hostile-{number}", chance.choice(("interactive", "bulk"))
        turn = number % (len(families) + 1)
        if turn == len(families) and own:
            job = chance.choice(own)
            raw = _message(name, _broken(name), id=job.job_id, task=chance.choice(TASKS))
            # Later than its original, whose hand-over may have to be repeated while Redis is away.
            at = min(0.97, job.at + chance.uniform(0.02, 0.2))
            found.append(Poison(f"{name} (the id of another job)", at, lane, raw, borrows=job.job_id))
        elif turn < len(families):
            kind, make = families[turn]
            found.append(Poison(f"{name} ({kind})", chance.uniform(0.05, 0.9), lane, make(chance, name)))
    return tuple(sorted(found, key=lambda one: one.at))


def _broken(name: str) -> dict[str, Any]:
    """Fields that nobody may take for a good job's: the column is text, and the title has no job's mark."""
    return {
        "instance": INSTANCES[0],
        "funnel_id": FUNNEL_ID,
        "title": f"Hostile {name}",
        "crm_column": "130",
        "lead_id": 7,
    }


def _message(
    name: str,
    fields: object,
    *,
    embed: object = None,
    headers: dict[str, Any] | None = None,
    properties: dict[str, Any] | None = None,
    body: object = None,
    **header: Any,
) -> bytes:
    text = body if body is not None else json.dumps([[], fields, embed])
    whole: dict[str, Any] = {
        "body": text,
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": TASKS[0], "id": name, "lang": "py", **(headers or {}), **header},
        "properties": {"delivery_tag": name, "body_encoding": "utf-8", "delivery_info": {}, **(properties or {})},
    }
    return json.dumps(whole).encode()


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _lone_surrogate(chance: Random, name: str) -> bytes:
    field = chance.choice(
        ("instance", "title", "external_ref", "lane", "deadline", "idempotency_key", "status", "fields")
    )
    text = chance.choice(LONE)
    value: object = {text: "x", "Origem": text} if field == "fields" else text
    return _message(name, {**_broken(name), field: value}, task=chance.choice(TASKS))


def _lone_surrogate_in_a_header(chance: Random, name: str) -> bytes:
    header = chance.choice(("task", "id", "lang", "origin", "eta", "expires", "root_id", "argsrepr"))
    whole = {"task": TASKS[0], "id": name, header: f"{name}{chance.choice(LONE)}"}
    return _message(name, _broken(name), headers=whole)


def _bytes_that_are_no_utf8(chance: Random, name: str) -> bytes:
    header = chance.choice(("task", "id", "lang", "origin", "eta"))
    whole = {"task": TASKS[0], "id": name, header: f"{name}{PLACE}"}
    return _message(name, _broken(name), headers=whole).replace(PLACE.encode(), chance.choice(BAD_UTF8))


def _body_that_is_no_utf8(chance: Random, name: str) -> bytes:
    text = json.dumps([[], {**_broken(name), "title": f"{name}{PLACE}"}, None]).encode()
    data = text.replace(PLACE.encode(), chance.choice(BAD_UTF8))
    return _message(name, {}, body=_packed(data), properties={"body_encoding": "base64"}, task=chance.choice(TASKS))


def _huge_update(chance: Random, name: str) -> bytes:
    fields = {**_broken(name), "external_ref": f"ref-{name}", "title": "x" * chance.randint(*HUGE)}
    text = json.dumps([[], fields, None]).encode()
    return _message(name, {}, body=_packed(text), properties={"body_encoding": "base64"}, task=TASKS[1])


def _long_reference(chance: Random, name: str) -> bytes:
    fields = {**_broken(name), "external_ref": f"{name}-" + "é" * chance.randint(100, 400)}
    return _message(name, fields, task=TASKS[1])


def _wrong_type_of_a_header(chance: Random, name: str) -> bytes:
    header = chance.choice(
        ("task", "id", "eta", "expires", "retries", "timelimit", "stamps", "stamped_headers", "group")
    )
    return _message(name, _broken(name), headers={header: chance.choice(WRONG)}, shadow=name)


def _wrong_type_of_a_field(chance: Random, name: str) -> bytes:
    names = ("instance", "funnel_id", "external_ref", "opportunity_id", "lane", "deadline", "not_before", "fields", "v")
    fields = {**_broken(name), chance.choice(names): chance.choice(WRONG)}
    return _message(name, fields, task=chance.choice(TASKS))


def _wrong_type_of_a_part(chance: Random, name: str) -> bytes:
    document = json.loads(_message(name, _broken(name)))
    part = chance.choice(("headers", "properties", "body", "content-type", "content-encoding"))
    return json.dumps({**document, part: chance.choice(WRONG), "name": name}).encode()


def _compressed(chance: Random, name: str) -> bytes:
    text = json.dumps([[], _broken(name), None]).encode()
    kind, pack = chance.choice(
        (
            ("application/x-gzip", zlib.compress),
            ("application/x-bz2", bz2.compress),
            ("gzip", partial(gzip.compress, mtime=0)),
        )
    )
    return _message(name, {}, body=_packed(pack(text)), properties={"body_encoding": "base64"}, compression=kind)


def _bomb(chance: Random, name: str) -> bytes:
    """Small as it travels, large once it is unpacked."""
    text = json.dumps([[], {**_broken(name), "title": "x" * chance.randint(4_000_000, 8_000_000)}, None]).encode()
    body = _packed(zlib.compress(text, 9))
    return _message(name, {}, body=body, properties={"body_encoding": "base64"}, compression="application/x-gzip")


def _forged_origin(chance: Random, name: str) -> bytes:
    return _message(name, {**_broken(name), "external_ref": f"ref-{name}"}, origin="oppsync", task=chance.choice(TASKS))


def _callbacks(chance: Random, name: str) -> bytes:
    # Should anybody call it, it becomes a dead letter too, as nobody here has such a task; its id says whose it was.
    options = {"task_id": f"{CALLED_BACK}{name}"}
    signature: dict[str, Any] = {"task": "billing.charge", "args": [], "kwargs": {}, "options": options}
    place = chance.choice(("callbacks", "errbacks", "chain", "chord"))
    value: object = signature if place == "chord" else [signature]
    if chance.random() < 0.3:  # noqa: PLR2004 - now and then it is no signature at all
        value = chance.choice(WRONG)
    return _message(name, _broken(name), embed={place: value})


def _strange_embed(chance: Random, name: str) -> bytes:
    return _message(name, {}, body=json.dumps([chance.choice(WRONG), _broken(name), chance.choice((7, "x", [1]))]))


def _deeply_nested_field(chance: Random, name: str) -> bytes:
    depth = chance.randint(*DEPTH)
    text = json.dumps([[], {**_broken(name), "fields": PLACE}, None])
    return _message(name, {}, body=text.replace(f'"{PLACE}"', "[" * depth + "]" * depth))


def _deeply_nested_header(chance: Random, name: str) -> bytes:
    depth = chance.randint(*DEPTH)
    raw = _message(name, _broken(name), headers={"stamps": PLACE})
    return raw.replace(f'"{PLACE}"'.encode(), b'{"x":' * depth + b"1" + b"}" * depth)


def _same_key_twice(_chance: Random, name: str) -> bytes:
    """Which of the two counts is each reader's own choice."""
    raw = _message(name, _broken(name), headers={"shadow": PLACE})
    return raw.replace(f'"{PLACE}"'.encode(), b'"x", "id": "' + name.encode() + b'", "task": "billing.charge"')


def _numbers_beyond(chance: Random, name: str) -> bytes:
    text = json.dumps([[], {**_broken(name), chance.choice(("opportunity_id", "lead_id", "value")): PLACE}, None])
    number = chance.choice(("1e400", "-1e400", "NaN", "Infinity", "9" * 5_000, "0.1e-9999", "1" + "0" * 400))
    return _message(name, {}, body=text.replace(f'"{PLACE}"', number), task=chance.choice(TASKS))


def _control_characters(chance: Random, name: str) -> bytes:
    field = chance.choice(("instance", "title", "external_ref", "idempotency_key"))
    return _message(name, {**_broken(name), field: f"{name}\x00\x1b[2J\r\nSET x y"})


def _an_unknown_time(chance: Random, name: str) -> bytes:
    header = chance.choice(("eta", "expires"))
    times = ("yesterday", "9999-12-31T23:59:59.999999-23:59", "0001-01-01T00:00:00+23:59", "2024-13-45T99:99:99Z")
    return _message(name, _broken(name), headers={header: chance.choice(times)})


FAMILIES: Final[dict[str, Family]] = {
    "a lone surrogate in a field": _lone_surrogate,
    "a lone surrogate in a header": _lone_surrogate_in_a_header,
    "a header that is no UTF-8": _bytes_that_are_no_utf8,
    "a body that is no UTF-8": _body_that_is_no_utf8,
    "a huge update in base64": _huge_update,
    "a reference of too many bytes": _long_reference,
    "a header of the wrong type": _wrong_type_of_a_header,
    "a field of the wrong type": _wrong_type_of_a_field,
    "a part of the wrong type": _wrong_type_of_a_part,
    "a compressed body": _compressed,
    "a compressed body that explodes": _bomb,
    "a forged origin": _forged_origin,
    "callbacks": _callbacks,
    "strange arguments": _strange_embed,
    "a field nested too deep": _deeply_nested_field,
    "a header nested too deep": _deeply_nested_header,
    "the same key twice": _same_key_twice,
    "numbers beyond all bounds": _numbers_beyond,
    "control characters": _control_characters,
    "an unknown time": _an_unknown_time,
}

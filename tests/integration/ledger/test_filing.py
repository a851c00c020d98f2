"""Two readers of one message: what the claim script files, a worker reads later, and must read the same.

A message that is filed stands under its key, in its record's line and in its instance's line, and nobody has judged it.
So the script files only what the contract is certain to take; the rest goes to a worker, which says what is wrong.
"""

import base64
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from integration.engine.hostile import Drawn
from integration.ledger.desk import Desk, change, deal
from oppsync_worker.contract.errors import InvalidJob, NotAJob
from oppsync_worker.contract.fields import milliseconds
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.wire import decode, encode
from oppsync_worker.engine.envelopes import CALL, Unreadable, prepare
from oppsync_worker.ledger import claims, keys, operating
from stage import claiming

SEED = int(os.environ.get("OPPSYNC_FUZZ_SEED", "8"))
MESSAGES = int(os.environ.get("OPPSYNC_FUZZ_MESSAGES", "1000"))
BULK = "opportunities.bulk"
KEY = f"{keys.PREFIX}idem:acme:order-1"


@pytest.fixture
def desk(ledger: redis.Redis) -> Desk:
    """An instance without limits."""
    return Desk(ledger)


class Odd(Drawn):
    """Messages of which a single value is odd, written oddly, or both: nearly jobs."""

    NUMBERS = ("7", "7.0", "7e0", "70e-1", "07", "0x7", "-7", "-0", "0", "1.5", "1.005", "0.1", "1e308", "1e400", "NaN")
    NUMBERS += (
        "nan",
        "Infinity",
        "-inf",
        "9007199254740991",
        "9007199254740993",
        "2147483648",
        "7.",
        "123456789012345.12",
    )
    TEXTS = (
        "7",
        "10.00",
        "1_000",
        " 1",
        "1e3",
        "nan",
        "much",
        "-5",
        "\u00a0",
        "\u2003\u3000",
        "\t",
        "x" * 501,
        "é" * 500,
    )
    TEXTS += (
        "é" * 501,
        "\u0000",
        "open",
        "won",
        "interactive",
        "",
        "2030-01-01T00:00:00Z",
        "2030-01-01T00:00:00+99:99",
    )
    TEXTS += (
        "2030-01-01",
        "2030-02-30T00:00:00Z",
        "2030-01-01T24:00:00Z",
        "9999-12-31T23:59:59-10:00",
        "order-1",
        "a/b",
    )
    TEXTS += ("2030-01-01T00:00:00.1239999Z", "2030-01-01 00:00:00.5+01:30", "\x1f", "\u007f", "\U0001f600" * 200)
    NAMES = ("instance", "funnel_id", "title", "value", "crm_column", "lead_id", "sequence", "status", "user", "fields")
    NAMES += ("expectedCloseDate", "expected_close_date", "external_ref", "idempotency_key", "opportunity_id", "lane")
    NAMES += ("not_before", "deadline", "v", "job_id", "__type__", "more")

    def message(self) -> bytes:
        """The next one."""
        random, self.number = self.random, self.number + 1
        whole = self._envelope()
        whole["call"][1]["instance"] = "acme"
        if random.random() < 0.3:
            whole["call"][1] |= {
                "value": random.choice((10, 10.5, "10.00")),
                "fields": {"a": random.choice((1, 1.5, "x"))},
            }
        name, kind = random.choice(self.NAMES), random.randrange(6)
        raw = f"@{self.number}@"
        if kind < 3:
            where = random.choice((whole["call"][1], whole["call"][1], whole["headers"]))
            where[
                random.choice(("eta", "expires", "retries", "compression")) if where is whole["headers"] else name
            ] = raw
        elif kind == 3:
            whole["call"][1].setdefault("fields", {})[random.choice(("a", "", "\u0000", "__type__", "value"))] = raw
        elif kind == 4:
            whole["call"][random.randrange(3)] = raw
        else:
            whole[random.choice(("properties", "content-encoding", "content-type", "more"))] = raw
        odd = random.choice(
            (
                *(lambda: random.choice(self.NUMBERS), lambda: json.dumps(random.choice(self.TEXTS))) * 3,
                *(lambda: random.choice(("null", "true", "false", "[]", "{}", "[1]", '{"a": null}', '{"a": [1]}')),),
                lambda: '"' + random.choice(("a\tb", "a\\/b", "\\ud83d\\ude00", "\\u0041", "\ud800", "\\x", "'")) + '"',
            )
        )()
        whole["odd"] = (json.dumps(raw), odd)
        return self._closed(whole)

    def _closed(self, whole: dict[str, Any]) -> bytes:
        placed, odd = whole.pop("odd")
        call = whole.pop("call")
        text = json.dumps(call, ensure_ascii=self.random.random() < 0.5).replace(placed, odd)
        if self.random.random() < 0.2:
            text = self._written_oddly(text)
        body = text.encode("utf-8", "surrogatepass")
        if whole.pop("base64", False) and isinstance(whole["properties"], dict):
            whole["properties"]["body_encoding"] = "base64"
            body = base64.b64encode(body)
        whole["body"] = "@body@"
        envelope = json.dumps(whole).replace(placed, odd)
        if self.random.random() < 0.1:
            envelope = self._written_oddly(envelope)
        quoted = json.dumps(body.decode("utf-8", "surrogatepass"), ensure_ascii=self.random.random() < 0.5)
        return envelope.replace('"@body@"', quoted).encode("utf-8", "surrogatepass")

    def _written_oddly(self, text: str) -> str:
        return self.random.choice(
            (
                lambda: text.replace(", ", ",\n\t"),
                lambda: text.replace('"funnel_id"', '"\\u0066unnel_id"').replace(": 7,", ": 7.0,"),
                lambda: text.replace("[[], {", "[{}, {", 1),
                lambda: text.replace("}]", "}, null]"),
                lambda: text.replace("}]", "}] "),
                lambda: text.replace(', {"callbacks"', ', [], {"callbacks"'),
                lambda: text.replace("null", "[]", 1),
                lambda: text.replace("drawn", "dra\xc2\x85wn\xff"),
                lambda: text.replace('"title"', '"title": 5, "title"'),
                lambda: text.replace('": ', '":', 3) + " ",
            )
        )()


class Filed:
    """What the claim script makes of one message."""

    def __init__(self, ledger: redis.Redis, raw: bytes) -> None:
        ledger.flushdb()
        ledger.lpush(BULK, raw)
        desk = Desk(ledger)
        self.claimed, self.buried = claims.claimed(desk.run(claiming([BULK], most=1)))
        (self.entry,) = [
            {name.decode(): value.decode() for name, value in ledger.hgetall(key).items() if name != b"message"}
            for key in ledger.scan_iter(f"{keys.PREFIX}job:*")
        ] or [None]
        self.due = [score for _, score in ledger.zrange(keys.SCHEDULE, 0, -1, withscores=True)]
        if self.entry and self.entry.get("state") == "dead":
            self.entry = None


def read(raw: bytes) -> AnyJob:
    """As a worker does."""
    payload = prepare(claims.Claimed("1-1", BULK, raw))
    args, fields, _ = payload[CALL]
    return decode(payload["headers"]["task"], payload["headers"]["id"], args, fields)


def drawn() -> Iterator[tuple[int, bytes]]:
    """Messages that are nearly jobs, and messages that are anything."""
    for source in (Odd(SEED), Drawn(SEED)):
        for number in range(MESSAGES):
            yield number, source.message()


def test_what_is_filed_is_what_the_contract_takes(ledger: redis.Redis) -> None:
    """And it is filed as what a worker reads in it."""
    told: Counter[str] = Counter()
    wrong = []
    for number, raw in drawn():
        filed = Filed(ledger, raw)
        try:
            job = read(raw)
        except (Unreadable, NotAJob, InvalidJob) as error:
            told["refused"] += 1
            if filed.entry:
                wrong.append(f"seed {SEED}, {number}: {error}: {raw[:2000]!r}")
            continue
        told["filed" if filed.entry else "left to a worker"] += 1
        if filed.entry is None:
            continue
        known = {
            name: filed.entry.get(name, "") for name in ("kind", "instance", "lane", "ref", "key", "target", "deadline")
        }
        if known != {
            "kind": job.kind.value,
            "instance": job.instance,
            "lane": job.lane.value,
            "ref": job.external_ref or "",
            "key": job.idempotency_key or "",
            "target": str(job.target or ""),
            "deadline": str(milliseconds(job.deadline) or ""),
        } or (filed.due and filed.due != [milliseconds(job.not_before)]):
            wrong.append(f"seed {SEED}, {number}: filed as {known} {filed.due}, and read as {job!r}")

    assert not wrong, f"{len(wrong)} of {told}, such as {wrong[:3]}"
    assert told["filed"] > MESSAGES / 10, f"it files too little: {told}"


def unreadable(job: AnyJob) -> bytes:
    """Another application's message, with an amount that is none."""
    message = json.loads(encode(job))
    body = json.loads(message["body"])
    body[1]["value"] = "much"
    return json.dumps(
        {**message, "headers": {**message["headers"], "origin": "gen1@x"}, "body": json.dumps(body)}
    ).encode()


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("make", [deal, lambda **given: change(5, **given)], ids=["create", "update"])
@pytest.mark.parametrize("later", [{}, {"not_before": "2099-01-01T00:00:00Z"}], ids=["now", "later"])
def test_a_message_that_is_no_job_stands_under_no_key(
    desk: Desk, make: Callable[..., AnyJob], later: dict[str, str], *, own: bool
) -> None:
    """While it waits to be read, a good job under its key is the first, and no twin that would be lost with it."""
    bad, good = (make(idempotency_key="order-1", lane="bulk", **later) for _ in range(2))
    desk.client.lpush(BULK, unreadable(bad))
    desk.run(claiming([BULK], most=0))

    (desk.enqueue if own else desk.push)(good)
    desk.run(claiming([BULK], most=0))

    assert desk.client.get(KEY) == good.job_id.encode()
    assert desk.state(good) in ("queued", "waiting", "scheduled")
    assert desk.client.llen(BULK) == (1 if later else 2)
    assert not desk.client.exists(keys.job(bad.job_id))


@pytest.mark.parametrize("given", [{}, {"not_before": "2099-01-01T00:00:00Z"}], ids=["held", "scheduled"])
def test_a_message_that_is_no_job_is_given_to_a_worker_at_once(desk: Desk, given: dict[str, str]) -> None:
    """Whatever holds up the jobs of its instance: its sender hears of it now."""
    desk.run(operating.hold("acme", cause="operator", note=""))
    bad = change(5, lane="bulk", **given)
    desk.client.lpush(BULK, unreadable(bad))

    taken, _ = claims.claimed(desk.run(claiming([BULK], most=1)))

    assert [json.loads(one.message)["headers"]["id"] for one in taken] == [bad.job_id]
    assert not desk.client.exists(keys.record("acme", "id:5"))


ORDINARY: list[dict[str, Any]] = [
    *({"value": value} for value in (1000, 1000.0, 1000.55, 0.1, -5.5, "10", "10.5", "-10.00")),
    *({"title": title} for title in ("José", "会议", "\U0001f600" * 500, "é" * 500, "x" * 500, 'a "quoted" \\ one')),
    *({"fields": fields} for fields in ({"Ação": "é", "a": 1.5, "b": True, "c": None}, {"value": 2.0, "x": -1})),
    *({"expectedCloseDate": when} for when in ("2030-01-01T00:00:00Z", "2028-02-29 23:59:59.123456+05:30")),
    *({"status": status} for status in ("open", "gain", "lost")),
    *({"lane": lane} for lane in ("bulk", "interactive", None)),
    *({name: None} for name in ("value", "lead_id", "sequence", "user", "fields", "external_ref", "deadline")),
    {
        "value": 0.5,
        "title": "São João",
        "fields": {"Nível": 1.0},
        "sequence": 0,
        "user": 10**15 - 1,
        "lead_id": 1,
        "v": 1,
    },
    {"sequence": 2**31 - 1, "external_ref": "r", "idempotency_key": "k" * 200, "deadline": "2099-12-31T00:00:00+00:00"},
]
"""What ordinary applications write, changed in nothing else."""


@pytest.mark.parametrize("given", ORDINARY, ids=str)
@pytest.mark.parametrize("encoding", ["base64", "utf-8"])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("kind", ["create", "update"])
def test_what_ordinary_applications_write_is_filed(
    ledger: redis.Redis, given: dict[str, Any], encoding: str, kind: str, *, ascii_only: bool
) -> None:
    """A backlog of it takes no worker's time."""
    names = {"title": "T", "crm_column": 130} if kind == "create" else {"title": "U", "opportunity_id": 5}
    call = [[], {"instance": "acme", "funnel_id": 7, **names, **given}, {"callbacks": None, "errbacks": None}]
    body = json.dumps(call, ensure_ascii=ascii_only)
    headers = {"task": f"opportunities.{kind}", "id": "x-1", "retries": 0, "timelimit": [30.5, None], "eta": None}
    message = {
        "body": base64.b64encode(body.encode()).decode() if encoding == "base64" else body,
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {**headers, "expires": "2099-01-01T00:00:00.5-03:00" if "deadline" not in given else None},
        "properties": {"body_encoding": encoding},
    }
    raw = json.dumps(message, ensure_ascii=ascii_only).encode()
    assert read(raw)

    filed = Filed(ledger, raw)

    assert filed.entry is not None, "it was left to a worker"
    assert filed.entry["lane"] == (given.get("lane") or "bulk")

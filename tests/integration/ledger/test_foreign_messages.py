"""What the claim script makes of other applications' messages: where they stand in line, and what it costs."""

import base64
import json
from collections.abc import Iterator

import pytest
import redis

from integration.ledger.desk import A_MINUTE_MS, LANES, Desk, change
from oppsync_worker.contract.jobs import UpdateOpportunity
from oppsync_worker.contract.wire import encode, kwargs_of
from oppsync_worker.ledger import claims, keys
from stage import claiming

LANE = "opportunities.bulk"
MEGABYTE = 1_000_000


@pytest.fixture
def desk(ledger: redis.Redis) -> Desk:
    """An instance without limits."""
    return Desk(ledger)


def foreign(job: UpdateOpportunity, *, encoding: str = "base64", more: int = 0) -> bytes:
    """As Celery writes it, with so many bytes more than a job may have."""
    message = json.loads(encode(job))
    body = json.dumps([[], kwargs_of(job) | ({"more": "x" * more} if more else {}), {}])
    message["body"] = base64.b64encode(body.encode()).decode() if encoding == "base64" else body
    message["headers"]["origin"] = "gen1@elsewhere"
    message["properties"]["body_encoding"] = encoding
    return json.dumps(message).encode()


def claimed(ledger: redis.Redis) -> Iterator[list[claims.Claimed]]:
    """What a worker gets, question after question, until nothing is left; not what waits elsewhere from now on."""
    client = Desk(ledger)
    for _ in range(1_000):
        if not any(map(ledger.llen, LANES)):
            return
        taken, _ = claims.claimed(client.run(claiming(LANES, most=100, lease_ms=A_MINUTE_MS)))
        yield taken
    raise AssertionError("the lane is never empty")


def line(ledger: redis.Redis, record: str) -> list[str]:
    """The updates of a record, in order."""
    return [job_id.decode() for job_id in ledger.zrange(keys.record("acme", record), 0, -1)]


@pytest.mark.parametrize("encoding", ["base64", "utf-8"])
@pytest.mark.parametrize("length", range(1, 70))
def test_every_length_of_body_is_read(desk: Desk, encoding: str, length: int) -> None:
    """Groups of four, groups of 32, and each padding."""
    job = change(5, title="é" * length + "x" * (length % 4), external_ref="r" * length)
    desk.client.lpush(LANE, foreign(job, encoding=encoding))

    list(claimed(desk.client))

    assert line(desk.client, "id:5") == [job.job_id]
    assert desk.field(job, "ref") == "r" * length


@pytest.mark.parametrize("ref", ["x" * 200, "é" * 200, "\U0001f600" * 200])
def test_a_reference_is_as_long_as_its_characters(desk: Desk, ref: str) -> None:
    """The contract counts characters: updates keep their order in whatever letters the reference is written."""
    desk.client.hset(keys.references("acme"), ref, "5")
    jobs = [change(ref, title=str(number)) for number in range(3)]
    desk.client.lpush(LANE, *map(foreign, jobs))

    list(claimed(desk.client))

    assert line(desk.client, "id:5") == [job.job_id for job in jobs]


@pytest.mark.parametrize("ref", ["é" * 201, "x" * 801, ""])
def test_a_reference_that_the_contract_refuses_has_no_line(desk: Desk, ref: str) -> None:
    """Its message is left to those who say why."""
    job = change("fine", title="x").model_copy(update={"external_ref": ref})
    desk.client.hset(keys.references("acme"), ref, "5")
    desk.client.lpush(LANE, foreign(job))

    list(claimed(desk.client))

    assert not list(desk.client.scan_iter(f"{keys.PREFIX}record:*"))


def test_one_claim_reads_a_bounded_number_of_bytes(desk: Desk) -> None:
    """A hundred messages of 180 KB are many claims: Redis has others to serve in between."""
    raw = [foreign(change(5, title="x"), more=134_000) for _ in range(100)]
    assert 17 * MEGABYTE < sum(map(len, raw)) < 19 * MEGABYTE
    desk.client.lpush(LANE, *raw)

    taken = list(claimed(desk.client))

    assert max(sum(len(one.message) for one in some) for some in taken) < 0.36 * MEGABYTE
    assert [one.message for some in taken for one in some] == raw


def test_long_bodies_cost_a_claim_its_length_and_never_the_order(desk: Desk) -> None:
    """What one claim does not read is left in its lane for the next, instead of being taken unread."""
    jobs = [change(5, title=str(number), fields={"a": "x" * 3_000}) for number in range(100)]
    desk.client.lpush(LANE, *map(foreign, jobs))

    taken = list(claimed(desk.client))

    assert 2 <= len(taken) <= 8
    assert line(desk.client, "id:5") == [job.job_id for job in jobs]


def test_messages_of_the_usual_size_are_read_a_hundred_at_once(desk: Desk) -> None:
    """The bound is never met by them."""
    jobs = [change(5, title=str(number), fields={"a": "x" * 150}) for number in range(100)]
    desk.client.lpush(LANE, *map(foreign, jobs))

    # The first run reads them all; the second takes the one that has a slot.
    assert [len(some) for some in claimed(desk.client)] == [0, 1]
    assert line(desk.client, "id:5") == [job.job_id for job in jobs]


@pytest.mark.parametrize(
    "body",
    ["%%%%", "=", "====", "W10", "W1tdLHt9LHt9XQ=", "é" * 4, base64.b64encode(b"[" * 5000).decode(), "A" * 90_113],
)
def test_a_body_that_cannot_be_read_is_claimed_all_the_same(desk: Desk, body: str) -> None:
    """The script never fails: whoever comes first in a lane would block it."""
    message = json.loads(foreign(change(5, title="x")))
    message["body"] = body
    raw = json.dumps(message).encode()
    desk.client.lpush(LANE, raw)

    (taken,) = claimed(desk.client)

    assert [one.message for one in taken] == [raw]
    assert not line(desk.client, "id:5")


@pytest.mark.parametrize("job_id", ["-x", "_x", ".x", ":x", "x" * 129, "raw-1", "a\nb", "é"])
def test_an_id_that_the_contract_refuses_names_no_job(desk: Desk, job_id: str) -> None:
    """Neither a ledger entry nor an argument of a command bears it."""
    message = json.loads(foreign(change(5, title="x")))
    message["headers"]["id"] = job_id
    desk.client.lpush(LANE, json.dumps(message))

    _, buried = claims.claimed(desk.run(claiming([LANE], most=100)))

    assert [one.cause for one in buried] == ["malformed"]
    assert desk.client.zrange(keys.DEAD, 0, -1)[0].startswith(b"raw-")

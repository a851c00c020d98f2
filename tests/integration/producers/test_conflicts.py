"""Two requests under one job id, or one idempotency key: never is one dropped in silence."""

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.ledger.desk import Desk, change, deal
from oppsync import AsyncJobClient, JobClient, JobConflict, JobConflicts, State
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.wire import digest
from oppsync_worker.ledger import keys, operating
from oppsync_worker.ledger.begin import Go, Parked
from stage import handed_over

OTHERS = [
    {"title": "Another"},
    {"funnel_id": 8},
    {"crm_column": 131},
    {"value": "2.00"},
    {"lead_id": 9},
    {"fields": {"A": "y"}},
    {"external_ref": "r-2"},
]
SAME = [
    {"lane": "bulk"},
    {"not_before": "2100-01-01T00:00:00Z"},
    {"deadline": "2100-01-01T00:00:00Z"},
    {"value": 1},
    {"fields": {"B": "z", "A": "x"}},
]
FIRST = {"value": "1.00", "lead_id": 8, "fields": {"A": "x", "B": "z"}, "external_ref": "r-1"}


@pytest.mark.parametrize("other", [*OTHERS, {"instance": "globex"}, {"idempotency_key": "another"}])
def test_another_request_under_a_taken_id_is_a_conflict(
    client: JobClient, ledger: redis.Redis, other: dict[str, object]
) -> None:
    """Both are named, and the one that stands is left as it was."""
    client.enqueue(deal(job_id="same", **FIRST))
    before = ledger.hgetall(keys.job("same"))

    with pytest.raises(JobConflict, match=r"the id same is taken by a job that stands as opportunities.create"):
        client.enqueue(deal(job_id="same", **{**FIRST, **other}))

    assert ledger.hgetall(keys.job("same")) == before
    assert ledger.llen("opportunities.interactive") == 1


def test_another_kind_under_a_taken_id_is_a_conflict(client: JobClient) -> None:
    """With kind and instance of both."""
    client.enqueue(deal(job_id="same"))

    with pytest.raises(JobConflict) as raised:
        client.enqueue(change(5, job_id="same", instance="globex"))

    assert "opportunities.create for instance 'acme'" in str(raised.value)
    assert "opportunities.update for instance 'globex'" in str(raised.value)
    assert (raised.value.job_id, raised.value.standing, raised.value.reason) == ("same", "same", "id")


@pytest.mark.parametrize("other", OTHERS)
def test_another_request_under_a_taken_key_is_a_conflict(
    client: JobClient, ledger: redis.Redis, other: dict[str, object]
) -> None:
    """Both are named by their ids."""
    client.enqueue(deal(job_id="one", idempotency_key="k", **FIRST))

    with pytest.raises(JobConflict, match=r"^job two .* idempotency key of job one .* asks for something else") as told:
        client.enqueue(deal(job_id="two", idempotency_key="k", **{**FIRST, **other}))

    assert (told.value.job_id, told.value.standing, told.value.reason) == ("two", "one", "key")
    assert not ledger.exists(keys.job("two"))
    assert ledger.llen("opportunities.interactive") == 1


@pytest.mark.parametrize("same", SAME)
def test_the_same_request_is_the_same_however_it_travels(client: JobClient, same: dict[str, object]) -> None:
    """Nor does it matter how an amount is written, or in which order fields are given."""
    for name in ({"job_id": "same"}, {"idempotency_key": "k"}):
        first = client.enqueue(deal(**FIRST, **name))

        assert client.enqueue(deal(**{**FIRST, **same}, **name)) == first


def test_of_many_jobs_only_those_at_odds_are_refused(client: JobClient, ledger: redis.Redis) -> None:
    """All others are handed over, also those in later batches; each refusal is told."""
    client.enqueue(deal(job_id="taken", title="First"))
    client.enqueue(deal(job_id="standing", idempotency_key="k", title="First"))
    good = [deal(title=f"{number}") for number in range(1200)]
    by_id, by_key = deal(job_id="taken"), deal(job_id="late", idempotency_key="k")

    with pytest.raises(JobConflicts, match=r"^2 of 1202 jobs were refused: the id taken .* \(and 1 more\)$") as raised:
        client.enqueue_many([*good[:3], by_id, *good[3:], by_key])

    assert [one.reason for one in raised.value.conflicts] == ["id", "key"]
    ids = raised.value.job_ids
    assert ids == (*(job.job_id for job in good[:3]), None, *(job.job_id for job in good[3:]), None)
    assert handed_over(ledger, "interactive") == 1202


async def test_the_asyncio_client_tells_conflicts_too(redis_url: str) -> None:
    """One and many."""
    async with AsyncJobClient(redis_url) as client:
        await client.enqueue(deal(job_id="taken", title="First"))
        with pytest.raises(JobConflict):
            await client.enqueue(deal(job_id="taken"))
        with pytest.raises(JobConflicts) as raised:
            await client.enqueue_many([deal(job_id="good"), deal(job_id="taken")])

    assert raised.value.job_ids == ("good", None)


def test_entries_of_the_version_before_go_on_working(client: JobClient, ledger: redis.Redis) -> None:
    """They have no digest: only kind and instance can be compared."""
    client.enqueue(deal(job_id="old", idempotency_key="k"))
    ledger.hdel(keys.job("old"), "digest")

    assert client.enqueue(deal(job_id="old", idempotency_key="k", title="Another")) == "old"
    assert client.enqueue(deal(idempotency_key="k", title="Another")) == "old"
    with pytest.raises(JobConflict):
        client.enqueue(change(5, job_id="old"))


def test_a_key_whose_job_was_discarded_undone_is_free(client: JobClient, ledger: redis.Redis) -> None:
    """Nothing was made under it, and nothing ever will be."""
    desk = Desk(ledger)
    client.enqueue(deal(job_id="one", idempotency_key="k"))
    hand, _ = desk.one()
    desk.bury(hand)
    assert desk.run(operating.discard("one", state=State.DEAD, by="me", ttl_s=60)) == b"dead"

    assert client.enqueue(deal(job_id="two", idempotency_key="k", title="Mended")) == "two"
    assert ledger.ttl(f"{keys.PREFIX}idem:acme:k") == -1, (
        "the first job's retention must not take the key from the second"
    )


def test_a_key_whose_job_was_discarded_in_doubt_says_so(client: JobClient, ledger: redis.Redis) -> None:
    """Its record may exist: the same again might be a second one."""
    desk = Desk(ledger)
    client.enqueue(deal(job_id="one", idempotency_key="k"))
    desk.send_next()
    desk.silence()
    assert desk.run(operating.discard("one", state=State.IN_DOUBT, by="me", ttl_s=60)) == b"in_doubt"

    with pytest.raises(JobConflict, match="asked for the same and was discarded by a person") as raised:
        client.enqueue(deal(job_id="two", idempotency_key="k"))

    assert raised.value.reason == "discarded"


def test_a_foreign_job_under_a_taken_key_that_asks_for_something_else_is_a_dead_letter(ledger: redis.Redis) -> None:
    """Not lost: mended to bear another key, it can be replayed; replayed as it is, it comes back."""
    desk = Desk(ledger)
    first, other, twin = (deal(job_id=name, idempotency_key="k") for name in ("first", "other", "twin"))
    other = other.model_copy(update={"title": "Another"})
    desk.enqueue(first)
    desk.push(other, twin)

    answers = {job.job_id: desk.begin(hand, job) for hand, job in desk.claim()}

    assert isinstance(answers["first"], Go)
    assert answers["other"] == Parked(State.DEAD, "conflict")
    assert answers["twin"] == Parked(State.DISCARDED, "twin")
    assert (desk.field(other, "cause"), desk.field(other, "points_to")) == ("conflict", "first")
    assert desk.replay(other) == "dead"
    assert desk.begin(*desk.one()) == Parked(State.DEAD, "conflict")


def test_a_foreign_job_with_another_body_under_a_taken_id_is_put_aside(ledger: redis.Redis) -> None:
    """The one that came first stands; the other is kept whole."""
    desk = Desk(ledger)
    first, other = deal(job_id="same", title="First"), deal(job_id="same", title="Second")
    desk.push(first, first, other)

    answers = [(job.title, desk.begin(hand, job)) for _ in range(2) for hand, job in desk.claim()]

    assert [(title, type(answer)) for title, answer in answers] == [
        ("First", Go),
        ("Second", Parked),
        ("First", Parked),
    ]
    (letter,) = [name for name in ledger.zrange(keys.DEAD, 0, -1) if name.startswith(b"raw-")]
    assert b"Second" in (ledger.hget(keys.job(letter.decode()), "message") or b"")


def _wait_for_a_slot(desk: Desk) -> None:
    desk.client.hset(keys.budget("acme"), mapping={"cool_until": 4_000_000_000_000})


@pytest.mark.parametrize("waits", [False, True], ids=["with a slot", "without a slot"])
def test_a_foreign_job_that_has_only_been_filed_stands_as_well(ledger: redis.Redis, *, waits: bool) -> None:
    """Nothing has been digested yet: another body under its id was sent in its place, or dropped without a trace."""
    desk = Desk(ledger)
    if waits:
        _wait_for_a_slot(desk)
    first, other = deal(job_id="same", title="First"), deal(job_id="same", title="Second")
    desk.push(first, other)

    ((hand, job),) = desk.claim()
    answer = desk.begin(hand, job)

    assert (job.title, type(answer)) == ("Second", Parked)
    (letter,) = [name for name in ledger.zrange(keys.DEAD, 0, -1) if name.startswith(b"raw-")]
    assert b"Second" in (ledger.hget(keys.job(letter.decode()), "message") or b"")
    ledger.hdel(keys.budget("acme"), "cool_until")
    hand, sent, _ = desk.send_next()
    assert sent.title == "First"


def test_a_foreign_job_that_has_only_been_filed_has_its_key(ledger: redis.Redis) -> None:
    """What asks for something else under it is a conflict, and what asks for the same is a twin."""
    desk = Desk(ledger)
    _wait_for_a_slot(desk)
    first = deal(job_id="first", title="First", idempotency_key="k")
    other = deal(job_id="other", title="Second", idempotency_key="k")
    twin = deal(job_id="twin", title="First", idempotency_key="k")
    desk.push(first, other, twin)

    answers = {job.job_id: desk.begin(hand, job) for hand, job in desk.claim()}

    assert answers == {"other": Parked(State.DEAD, "conflict"), "twin": Parked(State.DISCARDED, "twin")}
    assert desk.state(first) == "waiting"


GOLDEN: list[tuple[AnyJob, str]] = [
    (deal(job_id="a"), "af90181398501c949f81fd4a"),
    (deal(job_id="b", idempotency_key="k", **FIRST), "da1af0c59844314ac6da9ac7"),
    (change(5, value="1.50", expectedCloseDate="2026-01-01T00:00:00Z"), "ff2fcf576408399401f8be6d"),
]


@pytest.mark.parametrize(("job", "text"), GOLDEN)
def test_a_digest_never_changes(job: AnyJob, text: str) -> None:
    """It is compared with what the version before has written: a new one would make every repetition a conflict."""
    assert digest(job) == text


_NAMES = st.dictionaries(st.sampled_from("ABC"), st.sampled_from("xyz"), min_size=1)


@settings(max_examples=200)
@given(one=_NAMES, other=_NAMES)
def test_digests_are_equal_when_requests_are(one: dict[str, str], other: dict[str, str]) -> None:
    """And only then."""
    assert (digest(deal(fields=one)) == digest(deal(fields=other))) == (one == other)

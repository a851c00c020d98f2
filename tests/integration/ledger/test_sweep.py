"""The sweep: finds what a purge, a hand in Redis or a bug has left behind, and nothing where all is well."""

import tracemalloc
from collections import Counter
from collections.abc import Mapping

import pytest
import redis
from redis.asyncio import Redis

from integration.ledger import laws
from integration.ledger.aborting import abort, without_undo
from integration.ledger.desk import ATTEMPT, TTL_S, Desk, change, deal, titles
from integration.ledger.snapshot import Snapshot
from oppsync import JobClient
from oppsync_worker.engine import sweep as sweeping_module
from oppsync_worker.engine.sweep import Sightings, Sweep
from oppsync_worker.ledger import ends, keys, operating
from oppsync_worker.ledger.begin import Go
from oppsync_worker.ledger.scripts import run
from oppsync_worker.ledger.sweeping import turn
from stage import told


class Told:
    """Keeps the alarms."""

    def __init__(self) -> None:
        self.strays_found: list[Mapping[str, int]] = []

    def strays(self, counts: Mapping[str, int], _: str) -> None:
        self.strays_found.append(counts)


@pytest.fixture
def desk(ledger: redis.Redis) -> Desk:
    """An instance without limits."""
    return Desk(ledger)


async def sweep(redis_url: str, told_to: Told | None = None) -> Counter[str]:
    """One whole sweep, which suspects every queued job."""
    async with Redis.from_url(redis_url) as client:
        one = Sweep(
            client,
            worker="w",
            reporter=told_to or Told(),  # type: ignore[arg-type]
            every_s=60,
            ttl_s=60,
            patience_s=-1,
        )
        return await one.sweep()


async def test_nothing_is_found_where_all_is_well(desk: Desk, redis_url: str) -> None:
    """Jobs in every state, and a worker at work."""
    desk.run(told("acme", probe_ms=0))
    desk.enqueue(
        deal(), change("nobody"), deal(not_before="2100-01-01T00:00:00Z"), change(5), change(5), deal(), deal()
    )
    for hand, job in desk.claim(3):
        if isinstance(desk.begin(hand, job), Go) and job.kind == "opportunities.create":
            desk.run(ends.doubt(hand, attempt=ATTEMPT))
    (last,) = desk.claim(1)
    desk.run(operating.hold("acme", cause="operator", note=""))
    desk.begin(*last)
    desk.enqueue(deal())
    reported = Told()

    assert await sweep(redis_url, reported) == Counter()
    assert await sweep(redis_url, reported) == Counter()

    assert reported.strays_found == []
    assert desk.client.hget(keys.SWEEP, "last") == b"0"


async def test_a_purged_queue_is_noticed_and_its_producers_told(desk: Desk, redis_url: str) -> None:
    """`celery purge`: a message must be missing twice before its job is given up."""
    purged, kept = deal(), deal()
    desk.enqueue(purged)
    desk.client.delete("opportunities.interactive")
    desk.enqueue(kept)
    reported = Told()

    assert await sweep(redis_url, reported) == Counter()
    assert await sweep(redis_url, reported) == Counter(lost=1)

    assert (desk.state(purged), desk.field(purged, "cause"), desk.state(kept)) == ("dead", "lost", "queued")
    assert b"JobLost" in (desk.client.get(f"celery-task-meta-{purged.job_id}") or b"")
    assert reported.strays_found == [{"lost": 1}]
    assert desk.client.hget(keys.SWEEP, "found:lost") == b"1"


async def test_a_message_that_turns_up_again_is_delivered(desk: Desk, redis_url: str) -> None:
    """However late."""
    desk.enqueue(job := change(5))
    (message,) = desk.client.lrange("opportunities.interactive", 0, -1)
    desk.client.delete("opportunities.interactive")
    await sweep(redis_url)
    await sweep(redis_url)
    assert desk.state(job) == "dead"

    desk.client.lpush("opportunities.interactive", message)

    hand, job = desk.one()
    assert isinstance(desk.begin(hand, job), Go)
    assert desk.client.zcard(keys.DEAD) == 0
    desk.succeed(hand, job)
    assert not list(desk.client.scan_iter(f"{keys.PREFIX}letters:*"))


async def test_a_job_in_hand_is_not_suspected(desk: Desk, redis_url: str) -> None:
    """Claimed, and not begun yet."""
    desk.enqueue(deal())
    desk.claim()

    assert [await sweep(redis_url) for _ in range(3)] == [Counter()] * 3


@pytest.mark.parametrize(
    ("place", "state"),
    [
        (keys.SCHEDULE, "scheduled"),
        (keys.waiting("acme"), "waiting"),
        (keys.held("acme"), "held"),
        (keys.BLOCKED, "blocked"),
        (keys.IN_DOUBT, "in_doubt"),
        (keys.DEAD, "dead"),
    ],
)
async def test_a_job_that_is_missing_from_its_place_is_put_back(
    desk: Desk, redis_url: str, place: str, state: str
) -> None:
    """And a member that belongs to nobody is struck off."""
    job = deal(not_before="2100-01-01T00:00:00Z") if state == "scheduled" else deal()
    if state == "blocked":
        desk.enqueue(change("nobody"))
        (job_id,) = desk.client.zrange(place, 0, -1)
    else:
        if state == "waiting":
            desk.run(told("acme", requests=1))
            desk.client.hset(keys.budget("acme"), "next", f"{(desk.now_s() + 50) * 1000}")
        if state == "held":
            desk.run(operating.hold("acme", cause="operator", note=""))
        desk.enqueue(job)
        job_id = job.job_id.encode()
    if state in {"in_doubt", "dead"}:
        hand, _, _ = desk.send_next()
        desk.run(ends.doubt(hand, attempt=ATTEMPT)) if state == "in_doubt" else desk.bury(hand)
    assert desk.client.zscore(place, job_id) is not None
    desk.client.zrem(place, job_id)
    desk.client.zadd(place, {"ghost": 1})

    assert await sweep(redis_url) == Counter(misplaced=1, ghost=1)

    assert desk.client.zrange(place, 0, -1) == [job_id]
    assert await sweep(redis_url) == Counter()


async def test_a_create_whose_claim_is_gone_is_in_doubt(desk: Desk, redis_url: str) -> None:
    """It may have been carried out; and without its message, only a person can tell."""
    job = deal()
    desk.enqueue(job)
    hand, _, _ = desk.send_next()
    desk.client.delete(f"{keys.PREFIX}claim:{hand.tag}")
    desk.client.zrem(keys.LEASES, hand.tag)

    assert await sweep(redis_url) == Counter(ownerless=1)

    assert desk.state(job) == "in_doubt"


async def test_an_update_whose_claim_is_gone_is_a_dead_letter(desk: Desk, redis_url: str) -> None:
    """Its message went with the claim; the updates behind it go on."""
    job = change(5, title="gone")
    desk.enqueue(job, change(5, title="goes on"))
    hand, _, _ = desk.send_next()
    desk.client.delete(f"{keys.PREFIX}claim:{hand.tag}")

    assert await sweep(redis_url) == Counter(lost=1)

    assert (desk.state(job), desk.field(job, "cause")) == ("dead", "lost")
    assert desk.replay(job) == "unreadable"
    desk.settle_down()
    desk.pass_time()
    assert titles(desk.work_off()) == ["goes on"]


async def test_a_claim_without_a_lease_is_restored(desk: Desk, redis_url: str) -> None:
    """As if its worker had fallen silent."""
    desk.enqueue(deal())
    hand, _ = desk.one()
    desk.client.zrem(keys.LEASES, hand.tag)

    assert await sweep(redis_url) == Counter({"without a lease": 1})

    desk.silence()
    assert len(desk.claim()) == 1


async def test_an_update_that_fell_out_of_its_line_is_put_back(desk: Desk, redis_url: str) -> None:
    """And one that is blocked behind nobody goes on."""
    first, second = change(5, title="first"), change(5, title="second")
    desk.enqueue(first, second)
    hand, _, _ = desk.send_next()
    assert desk.state(second) == "blocked"
    desk.client.delete(keys.record("acme", "id:5"))
    desk.bury(hand)

    assert await sweep(redis_url) == Counter({"out of line": 1, "stuck": 1})

    assert titles(desk.work_off()) == ["second"]


async def test_a_doubt_that_nobody_looks_into_is_looked_into(desk: Desk, redis_url: str) -> None:
    """Unless it is a person's."""
    job = deal()
    desk.enqueue(job)
    hand, _, _ = desk.send_next()
    desk.run(ends.doubt(hand, attempt=ATTEMPT))
    desk.client.delete(keys.PROBES)

    assert await sweep(redis_url) == Counter({"out of sight": 1})

    assert desk.look().job_id == job.job_id


async def test_an_ended_job_that_would_never_be_forgotten_is(desk: Desk, redis_url: str) -> None:
    """Its time to live was lost."""
    job = deal()
    desk.enqueue(job)
    hand, _, _ = desk.send_next()
    desk.succeed(hand, job)
    desk.client.persist(keys.job(job.job_id))

    assert await sweep(redis_url) == Counter({"never forgotten": 1})

    assert desk.client.ttl(keys.job(job.job_id)) > 0


@pytest.mark.parametrize("write", range(1, 17))
async def test_an_adoption_that_an_older_version_has_left_by_halves_is_finished(
    desk: Desk, redis_url: str, write: int
) -> None:
    """Its create had succeeded, and the updates that waited for it were blocked for ever."""
    create, update = deal(external_ref="r"), change("r")
    desk.enqueue(create, update)
    hand, _, _ = desk.send_next()
    desk.run(ends.doubt(hand, attempt=ATTEMPT))
    assert desk.states([create, update]) == ["in_doubt", "blocked"]
    adopt = operating.adopt(create.job_id, opportunity_id=9, result={}, by="me", ttl_s=TTL_S, though_taken=True)
    assert abort(desk.client, adopt, write, without_undo) == (True, None)

    desk.run(adopt)
    await sweep(redis_url)
    await sweep(redis_url)

    assert await sweep(redis_url) == Counter()
    desk.line_moves()
    assert desk.states([create, update]) == ["succeeded", "queued"]
    seen = Snapshot.of(desk.client)
    laws.every_job_is_in_exactly_one_place(seen, desk.jobs, ())
    laws.updates_stand_in_the_line_of_their_record(seen)
    laws.whoever_waits_for_a_job_is_told_its_end(seen)
    with JobClient(redis_url) as client:
        assert client.outcome(create.job_id).opportunity_id == 9


async def test_updates_that_need_not_wait_for_a_letter_any_more_go_on(desk: Desk, redis_url: str) -> None:
    """The setting was changed: who is blocked already is found by the sweep; who comes is not blocked at all."""
    desk.run(told("acme", after_dead="wait"))
    desk.enqueue(change(5, title="dies"), change(5, title="waits"), change(5, title="next"))
    hand, _, _ = desk.send_next()
    desk.bury(hand)
    desk.run(told("acme", after_dead="go_on"))
    assert desk.work_off() == []

    assert await sweep(redis_url) == Counter(stuck=1)

    assert titles(desk.work_off()) == ["waits", "next"]


def test_one_worker_sweeps_at_a_time(ledger: redis.Redis) -> None:
    """Whoever asks first after the interval; one that dies over it is replaced at the next."""
    assert [run(ledger, turn(name, every_ms=60_000)) for name in ("w1", "w2", "w1")] == [1, 0, 0]
    ledger.hset(keys.SWEEP, "due", 1)
    assert run(ledger, turn("w2", every_ms=60_000)) == 1


async def test_of_many_lost_jobs_each_is_given_up_in_the_end(
    desk: Desk, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a sweep remembers: it goes through them bit by bit, and takes none whose message is there."""
    monkeypatch.setattr(sweeping_module, "MOST_SUSPECTS", 20)
    lost, kept = [deal() for _ in range(90)], [deal() for _ in range(30)]
    for job in lost:
        desk.enqueue(job)
    desk.client.delete("opportunities.interactive")
    for job in kept:
        desk.enqueue(job)
    in_hand = desk.claim(10)

    for _ in range(20):
        await sweep(redis_url)

    assert {desk.state(job) for job in lost} == {"dead"}
    assert {desk.state(job) for job in kept} == {"queued"}
    assert len(in_hand) == 10


async def test_a_long_line_takes_no_memory(desk: Desk, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times the jobs, and the sweep needs no more: a million waiting jobs took 182 MB of one worker."""
    monkeypatch.setattr(sweeping_module, "PAUSE_S", 0)
    peaks = []
    for first, jobs in ((0, 2_000), (2_000, 20_000)):
        _line_of(desk.client, range(first, jobs))
        tracemalloc.start()
        assert await sweep(redis_url) == Counter()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < peaks[0] + 500_000, peaks


def _line_of(client: redis.Redis, numbers: range) -> None:
    pipe = client.pipeline(transaction=False)
    pipe.hset(keys.PREFIX + "hold:acme", mapping={"cause": "operator", "since": 1, "note": ""})
    pipe.sadd(keys.PREFIX + "holds", "acme")
    for number in numbers:
        job_id = f"00000000-0000-4000-8000-{number:012d}"
        entry = {"state": "waiting", "kind": "opportunities.create", "instance": "acme", "lane": "bulk"}
        pipe.hset(keys.job(job_id), mapping={**entry, "at": 1, "since": 1, "message": "{}"})
        pipe.zadd(keys.waiting("acme"), {job_id: number})
    pipe.execute()


def test_what_was_seen_is_never_forgotten() -> None:
    """And little else is taken for it."""
    seen = Sightings(5_000)
    seen.add(f"job-{number}" for number in range(5_000))

    assert all(f"job-{number}" in seen for number in range(5_000))
    assert sum(f"other-{number}" in seen for number in range(5_000)) < 50

"""One seed fixes everything; the clock is real, scaled or stepped; reset is exact."""

import asyncio
import time

import pytest

from oppsync_ops.simulator import SimulatorConfig
from oppsync_ops.simulator.clock import Clock, http_date, iso_millis, parse_pace, parse_utc
from simulator.integrator import Eventually, Integrator, Simulate


async def _story(crm: Integrator) -> list[str]:
    """A few calls with every kind of chance in them."""
    answers = []
    for number in range(12):
        answer = await crm.create(f"m{number}", lead_id=number + 1)
        answers.append(f"{answer.status_code} {answer.text}")
        crm.sim.advance(1)
    answers += [(await crm.by_column()).text, (await crm.call("GET", "/user")).text]
    return answers


async def test_same_seed_and_same_calls_give_the_same_answers(simulate: Simulate) -> None:
    """Another seed gives others."""
    faults = ("http:p=0.3,status=503", "visibility_lag:p=0.5,s=100")
    one, two = await simulate(faults=faults), await simulate(faults=faults)
    other = await simulate(faults=faults, seed=2)

    stories = [await _story(crm) for crm in (one, two, other)]

    assert stories[0] == stories[1] != stories[2]
    assert one.sim.journal() == two.sim.journal()


async def test_reset_restores_the_exact_initial_state(simulate: Simulate) -> None:
    """Knobs, rules, instances, ids, clock, counters, journal."""
    crm = await simulate(faults=("http:p=0.3,status=503",), throttle="13/30s")
    before = await _story(crm)
    crm.sim.configure(put_fields="replace", throttle="1/60s")
    crm.sim.add_fault("gateway")
    declared = {"name": "third", "token": "t-3"}
    await crm.http.post(f"{crm.sim.url}/__sim/instances", json=declared)

    crm.sim.reset()

    assert crm.sim.records() == crm.sim.journal() == []
    assert crm.sim.counters()["instances"] == {}
    assert set(crm.sim.simulation.instances) == {"acme", "globex"}
    assert crm.sim.simulation.config.put_fields == "merge"
    assert await _story(crm) == before


async def test_reset_can_change_the_seed(crm: Integrator) -> None:
    """First ids move with it."""
    first = (await crm.created())["id"]
    crm.sim.reset(seed=2)
    other = (await crm.created())["id"]
    crm.sim.reset()

    assert (await crm.created())["id"] == first != other


async def test_reset_throws_away_work_in_progress(crm: Integrator, eventually: Eventually) -> None:
    """What waited to be committed is never committed."""
    crm.sim.add_fault("slow:ms=1000,commit=end")
    waiting = asyncio.create_task(crm.create("m1"))
    await eventually(lambda: crm.sim.simulation.clock.sleeping == 1)

    crm.sim.reset()
    await asyncio.gather(waiting, return_exceptions=True)

    assert crm.sim.records() == []


async def test_concurrency_does_not_change_which_job_meets_which_fault(simulate: Simulate) -> None:
    """All at once or one by one."""
    markers = [f"m{number}" for number in range(40)]
    one_by_one = await simulate(faults=("http:p=0.4,status=503",))
    at_once = await simulate(faults=("http:p=0.4,status=503",))

    for marker in markers:
        await one_by_one.create(marker)
    await asyncio.gather(*(at_once.create(marker) for marker in reversed(markers)))

    created = [{record["marker"] for record in crm.sim.records()} for crm in (one_by_one, at_once)]
    assert created[0] == created[1]
    assert 0 < len(created[0]) < 40


async def test_happy_answers_take_the_base_latency(simulate: Simulate, eventually: Eventually) -> None:
    """The work is done before the delay; jitter is drawn per call and fixed by the seed."""
    drawn = []
    for seed in (1, 1, 2):
        crm = await simulate(latency_ms=200, latency_jitter_ms=100, seed=seed)
        sent = asyncio.create_task(crm.create("m1"))
        await eventually(lambda crm=crm: crm.sim.simulation.clock.sleeping == 1)  # type: ignore[misc]
        assert len(crm.sim.records()) == 1
        drawn.append(crm.sim.simulation.clock._sleepers[0][0] - crm.sim.simulation.clock.now())
        crm.sim.advance(0.3)
        assert (await sent).status_code == 200

    assert drawn[0] == drawn[1] != drawn[2]
    assert all(0.2 <= delay_s < 0.3 for delay_s in drawn)


async def test_refused_calls_are_refused_at_once(simulate: Simulate) -> None:
    """Only work takes time."""
    crm = await simulate(latency_ms=10_000)

    assert (await crm.create(title=None)).status_code == 400


async def test_a_stepped_clock_wakes_sleepers_in_their_order() -> None:
    """And only those whose time has come."""
    clock = Clock("stepped", start="2026-01-05T12:00:00Z")
    woken: list[tuple[int, float]] = []

    async def sleeper(seconds: int) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock.now() - start))

    start = clock.now()
    tasks = [asyncio.create_task(sleeper(seconds)) for seconds in (3, 1, 2, 9)]
    await asyncio.sleep(0)
    clock.advance(5)
    await asyncio.gather(*tasks[:3])
    clock.release()
    await tasks[3]

    assert [seconds for seconds, _ in woken] == [1, 2, 3, 9]
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="stepped"):
        Clock("real", start="2026-01-05T12:00:00Z").advance(1)


async def test_a_scaled_clock_runs_faster() -> None:
    """A thousand virtual seconds in ten real milliseconds."""
    clock = Clock("x100000", start="2026-01-05T12:00:00Z")
    virtual, real = clock.now(), time.monotonic()

    await clock.sleep(1000)

    assert clock.now() - virtual >= 999
    assert time.monotonic() - real < 1
    assert abs(Clock("real", start="2026-01-05T12:00:00Z").now() - time.time()) < 1


def test_dates_are_written_as_the_crm_writes_them() -> None:
    """Milliseconds for leads, and the HTTP date."""
    assert iso_millis(parse_utc("2024-03-19T21:14:35Z") + 0.693) == "2024-03-19T21:14:35.693Z"
    assert http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert parse_utc("2024-03-19T21:14:35") == parse_utc("2024-03-19T18:14:35-03:00")
    assert (parse_pace("real"), parse_pace("x10"), parse_pace("stepped")) == (1.0, 10.0, 0.0)
    for bad in ("fast", "x0", "xx", "10", "xinf"):
        with pytest.raises(ValueError, match="clock is"):
            parse_pace(bad)


@pytest.mark.parametrize(
    ("knob", "setting"),
    [
        ("throttle", "fast"),
        ("bearer", "maybe"),
        ("latency_ms", -1),
        ("journal_size", 0),
        ("clock", "slow"),
        ("throttle_status", 418),
    ],
)
def test_a_bad_knob_is_refused_by_name(knob: str, setting: object) -> None:
    """At start."""
    with pytest.raises(ValueError, match=knob):
        SimulatorConfig(**{knob: setting})  # type: ignore[arg-type]

"""Rolling windows per instance, and the 401 that is not about credentials."""

import pytest

from oppsync_ops.simulator.budget import Budget, Window, parse_windows
from simulator.integrator import Integrator, Simulate


async def test_the_default_is_50_in_30_seconds(simulate: Simulate) -> None:
    """Reads count too; the 51st call is refused with the numbers that disclose the limit."""
    crm = await simulate(throttle="50/30s")
    for _ in range(25):
        await crm.created()
        await crm.by_lead()

    answer = await crm.create("late")

    assert answer.status_code == 401
    assert answer.json() == {"msg": "Unauthorized: too many requests", "usage": 51, "limite": 50}
    assert "Retry-After" not in answer.headers
    assert crm.figures()["throttled"] == 1
    assert crm.figures()["created"] == 0


async def test_windows_roll(simulate: Simulate) -> None:
    """A call falls out of the window exactly when it is as old as the window is long."""
    crm = await simulate(throttle="2/30s", count_refused=False)
    await crm.by_column()
    crm.sim.advance(20)
    await crm.by_column()
    crm.sim.advance(9.9)
    refused = await crm.by_column()
    crm.sim.advance(0.1)

    assert refused.status_code == 401
    assert (await crm.by_column()).status_code == 200
    assert (await crm.by_column()).status_code == 401


@pytest.mark.parametrize(("counted", "after_pause"), [(True, 401), (False, 200)])
async def test_refused_calls_can_prolong_the_pause(simulate: Simulate, *, counted: bool, after_pause: int) -> None:
    """Knob count_refused."""
    crm = await simulate(throttle="1/30s", count_refused=counted)
    await crm.by_column()
    crm.sim.advance(20)
    await crm.by_column()
    crm.sim.advance(15)

    assert (await crm.by_column()).status_code == after_pause


async def test_instances_do_not_share_a_budget_but_tokens_do(simulate: Simulate) -> None:
    """The scope is the instance."""
    acme = await simulate(throttle="1/30s")
    globex = Integrator(acme.sim, acme.http, "globex")
    await acme.by_column()

    assert (await acme.by_column()).status_code == 401
    assert (await globex.by_column()).status_code == 200


async def test_an_instance_can_have_its_own_windows(simulate: Simulate) -> None:
    """Declared with it."""
    crm = await simulate(throttle="off")
    declared = {"name": "tight", "token": "t-1", "throttle": "1/60s"}
    assert (await crm.http.post(f"{crm.sim.url}/__sim/instances", json=declared)).status_code == 200
    crm.instance, crm.headers = "tight", {"apitoken": "t-1"}

    assert [(await crm.by_column()).status_code for _ in range(2)] == [200, 401]


async def test_two_windows_apply_together(simulate: Simulate) -> None:
    """Usage and limit are those of the tightest."""
    crm = await simulate(throttle="2/10s+3/60s", count_refused=False)
    await crm.by_column()
    await crm.by_column()
    short = (await crm.by_column()).json()
    crm.sim.advance(10)
    await crm.by_column()
    long = (await crm.by_column()).json()

    assert (short["usage"], short["limite"]) == (3, 2)
    assert (long["usage"], long["limite"]) == (4, 3)


async def test_a_noisy_neighbour_spends_the_same_budget(simulate: Simulate) -> None:
    """Knob neighbour_rpm: as many calls a minute, evenly spaced."""
    crm = await simulate(throttle="11/60s", neighbour_rpm=10, count_refused=False)
    crm.sim.advance(60)

    statuses = [(await crm.by_column()).status_code for _ in range(2)]

    assert statuses == [200, 401]
    assert crm.figures()["received"] == 2


async def test_the_shape_of_a_throttled_answer_is_a_knob(simulate: Simulate) -> None:
    """Case of the words, numbers, status, Retry-After."""
    crm = await simulate(
        throttle="1/30s", throttle_case="title", throttle_numbers=False, throttle_status=429, retry_after=True
    )
    await crm.by_column()
    crm.sim.advance(10)

    answer = await crm.by_column()

    assert (answer.status_code, answer.json()) == (429, {"msg": "Unauthorized: Too Many Requests"})
    assert answer.headers["Retry-After"] == "20"
    crm.sim.configure(throttle_case="upper")
    assert (await crm.by_column()).json()["msg"] == "Unauthorized: TOO MANY REQUESTS"


async def test_a_bad_token_spends_no_budget(simulate: Simulate) -> None:
    """Only authenticated calls are counted; a bad body is one of them."""
    crm = await simulate(throttle="2/30s")
    right, crm.headers = crm.headers, {"apitoken": "wrong"}
    for _ in range(5):
        await crm.by_column()
    crm.headers = right

    assert (await crm.create(title=None)).status_code == 400
    assert (await crm.by_column()).status_code == 200
    assert (await crm.by_column()).status_code == 401


async def test_windows_can_be_changed_while_running(simulate: Simulate) -> None:
    """What was called before goes on counting."""
    crm = await simulate(throttle="100/60s")
    for _ in range(5):
        await crm.by_column()

    crm.sim.configure(throttle="5/60s")
    tight = (await crm.by_column()).status_code
    crm.sim.configure(throttle="off")

    assert (tight, (await crm.by_column()).status_code) == (401, 200)


@pytest.mark.parametrize("fault", ["throttle_burst:n=3", "throttle_reads", "throttle_after_commit"])
async def test_a_pretended_throttle_discloses_the_tightest_real_window(simulate: Simulate, *, fault: str) -> None:
    """Clients believe the limit: never the fault's own length, nor simply the first window."""
    crm = await simulate(throttle="50/10s+5/60s", retry_after=True)
    opportunity = await crm.created()
    crm.sim.add_fault(fault)

    answer = await (crm.read(opportunity["id"]) if "reads" in fault else crm.create())

    assert answer.status_code == 401
    assert answer.json() == {"msg": "Unauthorized: too many requests", "usage": 6, "limite": 5}
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize("fault", ["throttle_burst:n=3", "throttle_reads", "throttle_after_commit"])
async def test_a_pretended_throttle_without_a_window_has_no_numbers(simulate: Simulate, *, fault: str) -> None:
    """There is no limit to disclose, and a client would keep to an invented one."""
    crm = await simulate(throttle="off", retry_after=True)
    opportunity = await crm.created()
    crm.sim.add_fault(fault)

    answers = [await (crm.read(opportunity["id"]) if "reads" in fault else crm.create()) for _ in range(2)]

    assert [answer.json() for answer in answers] == [{"msg": "Unauthorized: too many requests"}] * 2
    assert {answer.headers["Retry-After"] for answer in answers} == {"1"}


def test_windows_are_written_as_text() -> None:
    """Presets and lists."""
    assert parse_windows("off") == ()
    assert parse_windows("both") == (Window(50, 30), Window(100, 60))
    assert parse_windows("45/60s, 2/0.5s") == (Window(45, 60), Window(2, 0.5))
    for bad in ("", "45", "0/60s", "45/0s", "45/60", "x/60s"):
        with pytest.raises(ValueError, match="throttle is off"):
            parse_windows(bad)


def test_no_window_of_any_length_lets_more_through() -> None:
    """Whatever the spacing of the calls, admitted calls never exceed the window."""
    budget = Budget(parse_windows("5/10s"), started_at=0.0)
    moments = [index * 0.37 for index in range(400)]

    admitted = [at for at in moments if budget.take(at, count_refused=False).admitted]

    assert max(sum(start <= at < start + 10 for at in admitted) for start in admitted) == 5

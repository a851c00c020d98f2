"""Which call a fault strikes: matchers, counts, chance, and how rules are written."""

from typing import Any

import pytest

from oppsync_ops.simulator import FaultRule
from oppsync_ops.simulator.fault_actions import ACTIONS
from simulator.integrator import Integrator, Simulate


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_a_rule_reads_what_it_shows(name: str) -> None:
    """The control endpoint's rendering can be given again."""
    rule = FaultRule.parse({"action": name, "p": 0.5, "times": 3, "from_s": 2})

    assert FaultRule.parse(rule.described()) == rule


def test_a_specification_is_the_same_rule_as_json() -> None:
    """One grammar, two spellings."""
    written = "slow:ms=35000,commit=end,method=post,path=/crmopportunity*,marker=order-*,p=0.05,times=2,lag_s=3"
    given: dict[str, Any] = {
        "action": "slow",
        "ms": 35000,
        "commit": "end",
        "method": "POST",
        "path": "/crmopportunity*",
        "marker": "order-*",
        "p": 0.05,
        "times": 2,
        "lag_s": 3.0,
    }

    assert FaultRule.parse(written) == FaultRule.parse(given)
    assert FaultRule.parse("drop_after_commit").p == 1.0


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ("explode", "explode"),
        ("slow:ms", "'ms'"),
        ("slow:ms=fast", "slow: ms"),
        ("slow:ms=-1", "slow: ms"),
        ("slow:commit=later", "start, end, never"),
        ("slow:colour=red", "'colour'"),
        ("slow:ms=1,ms=2", "twice"),
        ("slow:p=1.5", "slow: p"),
        ("slow:p=nan", "slow: p"),
        ("slow:times=0", "slow: times"),
        ("slow:nth=x", "slow: nth"),
        ("http:status=200", "http: status"),
        ("drop_after_commit:lag_get=perhaps", "lag_get"),
        ("close_on_accept:method=POST", "'method'"),
        ({"p": 1}, "None"),
        ({"action": "slow", "ms": True}, "slow: ms"),
        ({"action": "slow", "lead": "x"}, "slow: lead"),
    ],
)
def test_a_bad_rule_is_refused_with_the_bad_part_named(bad: Any, named: str) -> None:
    """ValueError, always."""
    with pytest.raises(ValueError, match=named):
        FaultRule.parse(bad)


@pytest.mark.parametrize(
    ("matcher", "struck"),
    [
        ("method=POST", [True, True, False]),
        ("method=PUT", [False, False, False]),
        ("path=/crmopportunity*", [True, True, False]),
        ("lead=5", [True, False, False]),
        ("lead=6", [False, True, True]),
        ("column=131", [False, True, False]),
        ("marker=order-1*", [True, False, False]),
        ("instance=globex", [False, False, False]),
        ("nth=2", [False, True, False]),
        ("times=1", [True, False, False]),
        ("times=2,method=GET", [False, False, True]),
        ("p=0", [False, False, False]),
    ],
)
async def test_matchers_choose_the_calls(crm: Integrator, matcher: str, struck: list[bool]) -> None:
    """Method, path, lead, column, marker, instance; nth, times and chance."""
    crm.sim.add_fault(f"http:status=503,commit=yes,{matcher}")

    answers = [
        await crm.create("order-17", lead_id=5),
        await crm.create("order-2", lead_id=6, crm_column=131),
        await crm.by_lead(6),
    ]

    assert [answer.status_code == 503 for answer in answers] == struck


async def test_the_first_rule_that_matches_wins(crm: Integrator) -> None:
    """A later rule gets what the earlier ones leave."""
    crm.sim.add_fault("http:status=503,times=1")
    crm.sim.add_fault("http:status=500")

    assert [(await crm.by_column()).status_code for _ in range(3)] == [503, 500, 500]


async def test_a_refused_call_spends_no_fault(simulate: Simulate) -> None:
    """Bad token, throttled, bad body: the fault is still there for the next valid call."""
    crm = await simulate(throttle="2/30s", count_refused=False)
    crm.sim.add_fault("http:status=503,times=1")
    right, crm.headers = crm.headers, {"apitoken": "wrong"}
    await crm.create()
    crm.headers = right
    await crm.create(title=None)
    await crm.create(title=None)
    await crm.create()
    crm.sim.advance(30)

    assert (await crm.create()).status_code == 503
    assert crm.figures()["by_fault"] == {"http#1": 1}


async def test_seen_counts_per_marker(crm: Integrator) -> None:
    """seen=1 strikes the first attempt of every job, and no second one."""
    crm.sim.add_fault("http:status=503,seen=1")

    answers = [(await crm.create(marker)).status_code for marker in ("a", "b", "a", "b", "a")]

    assert answers == [503, 503, 200, 200, 200]


async def test_a_rule_can_have_its_time(crm: Integrator) -> None:
    """from_s and to_s count from when it was added."""
    crm.sim.advance(100)
    crm.sim.add_fault("http:status=503,from_s=10,to_s=20")

    statuses = []
    for _ in range(4):
        statuses.append((await crm.by_column()).status_code)
        crm.sim.advance(8)

    assert statuses == [200, 200, 503, 200]


async def test_chance_depends_on_the_marker_and_not_on_the_order(simulate: Simulate) -> None:
    """Which job meets the fault is fixed by seed, rule and marker."""
    markers = [f"job-{number}" for number in range(60)]
    struck = []
    for order, seed in ((markers, 1), (markers[::-1], 1), (markers, 2)):
        crm = await simulate(seed=seed, faults=("http:status=503,p=0.3",))
        struck.append({marker for marker in order if (await crm.create(marker)).status_code == 503})

    assert struck[0] == struck[1] != struck[2]
    assert 5 < len(struck[0]) < 35


async def test_rules_are_counted_and_removed(crm: Integrator) -> None:
    """By id, or all."""
    first = crm.sim.add_fault("http:status=503,p=0,name=never")
    second = crm.sim.add_fault("slow:ms=0")
    await crm.by_column()

    shown = {rule["id"]: (rule["matched"], rule["struck"]) for rule in crm.sim.simulation.faults.described()}
    assert (first, second) == ("never", "slow#2")
    assert shown == {"never": (1, 0), "slow#2": (1, 1)}
    with pytest.raises(ValueError, match="never"):
        crm.sim.add_fault("slow:name=never")
    assert crm.sim.remove_faults("never") == 1
    assert crm.sim.remove_faults() == 1

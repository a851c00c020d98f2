"""What all workers are told of an instance: each figure in the unit that the scripts count in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker.instances import (
    BreakerSettings,
    BudgetSettings,
    InstanceSettings,
    OrderSettings,
    ReconcileSettings,
)
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.limits import budget
from oppsync_worker.limits.budget import announce, hands, learned_least


def told(call: Call) -> dict[str, object]:
    """The facts, by name."""
    _, _, *pairs = call.arguments
    return {str(name): value for name, value in zip(pairs[::2], pairs[1::2], strict=True)}


def test_an_instance_is_announced_in_the_units_of_the_scripts() -> None:
    """Milliseconds throughout; each setting under its own name."""
    acme = InstanceSettings(
        name="acme",
        token="t",
        connect_seconds=1,
        call_seconds=20.5,
        budget=BudgetSettings(
            requests=90,
            window_seconds=30.25,
            concurrency=3,
            learned_min_share=0.5,
            learned_seconds=12.5,
        ),
        reconcile=ReconcileSettings(probe_after_seconds=(2.5, 40), max_share=0.1),
        breaker=BreakerSettings(failures=7, open_seconds=1.5, max_open_seconds=11.25),
        order=OrderSettings(after_dead="wait", settle_seconds=8.125),
    )

    call = announce(acme, fingerprint="f1")

    assert call.script == "instance"
    assert call.arguments[:2] == ("acme", "f1")
    assert told(call) == {
        "requests": 90,
        "window_ms": 30_250,
        "concurrency": 3,
        "call_ms": 35_500,
        "probe_ms": 2_500,
        "breaker_failures": 7,
        "open_ms": 1_500,
        "max_open_ms": 11_250,
        "after_dead": "wait",
        "settle_ms": 8_125,
        "learned_least": 45,
        "learned_ms": 12_500,
        "look_gap": 9,
    }


def test_an_instance_that_leaves_doubts_to_a_person_is_never_looked_at() -> None:
    """Which the scripts know by -1."""
    acme = InstanceSettings(name="acme", token="t", reconcile=ReconcileSettings(enabled=False))

    assert told(announce(acme, fingerprint="f"))["probe_ms"] == -1


@pytest.mark.parametrize(("share", "gap"), [(0.5, 1), (0.25, 3), (0.3, 3), (0.01, 99)])
def test_look_ups_keep_to_their_share(share: float, gap: int) -> None:
    """So many jobs go between two look-ups that the share is never exceeded."""
    acme = InstanceSettings(name="acme", token="t", reconcile=ReconcileSettings(max_share=share))

    assert told(announce(acme, fingerprint="f"))["look_gap"] == gap
    assert 1 / (gap + 1) <= share


@pytest.mark.parametrize(
    ("requests", "share", "least"), [(45, 0.2, 9), (46, 0.2, 10), (1, 0.2, 1), (0, 0.2, 1), (10, 1, 10)]
)
def test_a_share_of_the_budget_is_kept_whatever_is_learned(requests: int, share: float, least: int) -> None:
    """Rounded up, and never nothing."""
    assert learned_least(BudgetSettings(requests=requests, learned_min_share=share)) == least


@pytest.mark.parametrize(("concurrency", "announced"), [(1, 2), (4, 5), (200, 250), (201, 252)])
def test_a_quarter_more_hands_are_announced_than_one_instance_gets(concurrency: int, announced: int) -> None:
    """Rounded up: `lua/slots.lua` gives one instance four fifths of them, which is what was asked for."""
    assert hands(concurrency) == announced


@given(st.integers(1, 5_000))
def test_one_instance_alone_gets_the_concurrency_that_was_asked_for(concurrency: int) -> None:
    """Four fifths of what is announced are at least that."""
    assert hands(concurrency) * 4 // 5 >= concurrency


def test_the_figures_that_no_setting_changes() -> None:
    """A slot is waited for in the worker for a quarter of a second at most; a lost call counts 15 s beyond its end."""
    assert (budget.HORIZON_MS, budget.MARGIN_MS, budget.ELASTIC) == (250, 15_000, 4)

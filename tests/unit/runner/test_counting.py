"""When it is told that a request left late, and from when it is news."""

from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import pytest

from oppsync_worker.departures import current
from oppsync_worker.instances import InstanceSettings
from oppsync_worker.runner import counting as module


class Ledger:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, float]] = []

    def left_late(self, instance: str, *, counted_at: int, late_s: float) -> None:
        """A request did."""
        self.told.append((instance, counted_at, late_s))


def counting(ledger: Any, *, window_s: float = 60.0, requests: int = 45) -> AbstractContextManager[None]:
    """Of a request that was asked for at 100 s."""
    budget = {"window_seconds": window_s, "requests": requests}
    instance = InstanceSettings.model_validate({"name": "acme", "token": "tok-0123456789", "budget": budget})
    return module.counting(ledger, instance, counted_at=7, asked_at=100.0)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """This process' clock."""
    shown = [100.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: shown[0]))
    return shown


@pytest.mark.parametrize(
    ("window_s", "late_s", "told"),
    [(60.0, 0.05, False), (60.0, 0.0501, True), (10.0, 0.0249, False), (10.0, 0.0251, True), (0.4, 0.0101, True)],
)
def test_it_is_news_from_a_part_of_the_windows_guard_on(
    now: list[float], window_s: float, late_s: float, told: Any
) -> None:
    """Half of what is kept of the guard, and a twentieth of a second at most."""
    ledger = Ledger()

    with counting(ledger, window_s=window_s):
        now[0] = 100.0 + late_s
        current()()

    assert ledger.told == ([("acme", 7, pytest.approx(late_s))] if told else [])


def test_it_is_told_while_the_request_is_under_way(now: list[float]) -> None:
    """The window may be over before its answer comes."""
    ledger = Ledger()

    with counting(ledger):
        now[0] = 102.0
        current()()
        assert ledger.told == [("acme", 7, 2.0)]


def test_where_nothing_is_counted_nothing_is_told(now: list[float]) -> None:
    """It would be a call to Redis for nothing."""
    ledger = Ledger()

    with counting(ledger, requests=0):
        now[0] = 102.0
        current()()

    assert ledger.told == []


def test_after_the_block_nobody_counts(now: list[float]) -> None:
    """A request of something else is not this one."""
    ledger = Ledger()
    with counting(ledger):
        pass

    now[0] = 105.0
    current()()

    assert ledger.told == []

"""When it is told that a request left late, and from when it is news."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from oppsync_worker.departures import current
from oppsync_worker.instances import InstanceSettings
from oppsync_worker.runner import counting as module
from oppsync_worker.runner.counting import Counting


class Ledger:
    """Keeps what it is told, as soon as it may."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, float]] = []
        self.may = asyncio.Event()
        self.may.set()

    async def left_late(self, instance: str, *, counted_at: int, late_s: float) -> None:
        """Takes its time."""
        await self.may.wait()
        self.told.append((instance, counted_at, late_s))


def counting(ledger: Any, *, window_s: float = 60.0) -> Counting:
    """Of a request that was asked for at 100 s."""
    instance = InstanceSettings.model_validate(
        {"name": "acme", "token": "tok-0123456789", "budget": {"window_seconds": window_s}}
    )
    return Counting(ledger, instance, counted_at=7, asked_at=100.0)


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
async def test_it_is_news_from_a_part_of_the_windows_guard_on(
    now: list[float], window_s: float, late_s: float, told: Any
) -> None:
    """Half of what is kept of the guard, and a twentieth of a second at most."""
    ledger = Ledger()

    async with counting(ledger, window_s=window_s):
        now[0] = 100.0 + late_s
        current()()

    assert ledger.told == ([("acme", 7, pytest.approx(late_s))] if told else [])


async def test_it_is_told_while_the_request_is_under_way(now: list[float]) -> None:
    """The window may be over before its answer comes."""
    ledger = Ledger()

    async with counting(ledger):
        now[0] = 102.0
        current()()
        await asyncio.sleep(0)
        assert ledger.told == [("acme", 7, 2.0)]


async def test_a_call_that_fails_has_left_all_the_same(now: list[float]) -> None:
    """And nobody waits for the ledger then."""
    ledger = Ledger()
    ledger.may.clear()

    async def fails() -> None:
        async with counting(ledger):
            now[0] = 101.0
            current()()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    ledger.may.set()
    await asyncio.sleep(0.01)

    assert ledger.told == [("acme", 7, 1.0)]


async def test_after_the_block_nobody_counts(now: list[float]) -> None:
    """A request of something else is not this one."""
    ledger = Ledger()
    async with counting(ledger):
        pass

    now[0] = 105.0
    current()()
    await asyncio.sleep(0.01)

    assert ledger.told == []

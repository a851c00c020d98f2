"""No window at the CRM has a request too many, however late workers and the network are."""

import heapq
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final

import pytest
import redis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from integration.ledger.desk import LANES, TTL_S, deal
from integration.ledger.walks.clockwork import Clockwork
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.wire import read_message
from oppsync_worker.ledger import claims, ends
from oppsync_worker.ledger.begin import Go, Soon, begin, begun, left_late
from oppsync_worker.ledger.enqueuing import enqueue
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.limits.budget import guard_ms
from stage import claiming, time_passes, told

REQUESTS: Final = 6
JOBS: Final = 16


@dataclass(frozen=True, slots=True)
class Trip:
    """What happens to one request, in ms."""

    claimed_late: int
    """From the job's slot until a worker takes it."""
    asked_late: int
    """After the moment to which its worker was put off."""
    asked_again: int
    """After being told to go, as a share of what is still in time, in percent: the answer was lost. 0: it was heard."""
    left_late: int
    """From being told to go until it leaves, in percent of what nobody is told of; more is told as it leaves."""
    under_way: int
    """As a share of what the network may take, in percent."""


@dataclass(frozen=True, slots=True)
class Window:
    """A budget's window, and how much longer one request may be under way than another (ADR 0006)."""

    ms: int
    untold_ms: int
    network_ms: int
    in_time_ms: int


WINDOWS: Final = (
    Window(60_000, 50, 250, 300),
    Window(20_000, 50, 50, 100),
    Window(10_000, 25, 25, 50),
    Window(1_000, 25, 25, 50),
)

trips = st.lists(
    st.builds(
        Trip,
        claimed_late=st.sampled_from([0, 0, 1, 90, 480, 700]),
        asked_late=st.sampled_from([0, 0, 1, 30]),
        asked_again=st.sampled_from([0, 0, 50, 100, 100, 200]),
        left_late=st.one_of(st.integers(0, 100), st.integers(101, 3_400)),
        under_way=st.sampled_from([0, 0, 50, 100]),
    ),
    min_size=JOBS,
    max_size=JOBS,
)


class Road:
    """Workers, and the CRM at the end of the way."""

    def __init__(self, client: redis.Redis, window: Window, *, requests: int = REQUESTS) -> None:
        self.window = window
        self.clock = Clockwork(client)
        self.arrivals: list[int] = []
        self._tellings: list[tuple[int, int]] = []
        self._run(told("acme", requests=requests, window_ms=window.ms))
        for _ in range(JOBS):
            self._run(enqueue(deal()))

    def drive(self, drawn: list[Trip]) -> list[int]:
        """When each request comes to the CRM."""
        laps, seen = cycle(drawn), set[str]()
        trip = next(laps)
        while len(self.arrivals) < JOBS:
            self._passes(max(1, min(200, self.window.ms // 300)))
            self._run(time_passes())
            taken, _ = claims.claimed(self._run(claiming(LANES, most=1)))
            for one in taken:
                job = read_message(one.message)
                # A slot that was missed is forfeited; not again and again, or this never ends.
                self._passes(0 if job.job_id in seen else trip.claimed_late)
                seen.add(job.job_id)
                self._asks(ends.Hand(one.tag, job.job_id, TTL_S), job, trip)
                trip = next(laps)
        return sorted(self.arrivals)

    def _asks(self, hand: ends.Hand, job: AnyJob, trip: Trip) -> None:
        for number in range(50):
            answer = begun(self._run(begin(hand, job, horizon_ms=250, number=number)))
            if isinstance(answer, Go) and trip.asked_again and not number // 50:
                self._passes(trip.asked_again * self.window.in_time_ms // 100)
                answer = begun(self._run(begin(hand, job, horizon_ms=250, number=50 + number)))
            if isinstance(answer, Go):
                late = trip.left_late * self.window.untold_ms // 100
                left = answer.counted_at + late
                self.arrivals.append(left + trip.under_way * self.window.network_ms // 100)
                if late > self.window.untold_ms:
                    heapq.heappush(self._tellings, (left, answer.counted_at))
                return
            if not isinstance(answer, Soon):
                return
            self._passes(answer.delay_ms + trip.asked_late)
        pytest.fail("the slot never came")

    def _passes(self, ms: int) -> None:
        till = self.clock.now_ms + ms
        while self._tellings and self._tellings[0][0] <= till:
            left, counted_at = heapq.heappop(self._tellings)
            self.clock.passes(max(0, left - self.clock.now_ms))
            self._run(left_late("acme", counted_at=counted_at, late_ms=left - counted_at))
        self.clock.passes(till - self.clock.now_ms)

    def _run(self, call: Call) -> Any:
        return self.clock.answer(call)


@settings(
    max_examples=15,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # a shorter example would take minutes, and tell no more
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(drawn=trips, window=st.sampled_from(WINDOWS))
def test_whatever_is_late_no_window_has_one_request_too_many(
    ledger: redis.Redis, drawn: list[Trip], window: Window
) -> None:
    """Jobs late to their slots, requests that leave late, told or too little to be told, and a network that wavers."""
    arrivals = Road(ledger, window).drive(drawn)

    least = min(later - first for first, later in zip(arrivals, arrivals[REQUESTS:], strict=False))
    assert least >= window.ms, f"{REQUESTS + 1} requests within {least} ms"


@pytest.mark.parametrize(
    ("window_ms", "requests", "expected_ms"), [(60_000, 6, 600), (10_000, 6, 100), (2_000, 6, 100), (600, 2, 60)]
)
def test_where_nobody_is_late_it_costs_one_percent(
    ledger: redis.Redis, window_ms: int, requests: int, expected_ms: int
) -> None:
    """Of short windows more: they must bear as much lateness. Python's figure is the script's."""
    assert guard_ms(window_ms) == expected_ms
    arrivals = Road(ledger, Window(window_ms, 0, 0, 0), requests=requests).drive([Trip(0, 0, 0, 0, 0)])

    took = arrivals[-1] - arrivals[1]  # the first comes whenever it is seen
    assert took == pytest.approx((JOBS - 2) / requests * (window_ms + expected_ms), abs=JOBS)

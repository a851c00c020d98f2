"""The applications that hand the jobs over: one thread for each instance, and one for poison.

Jobs of one record are handed over in the order of their versions, each after the one before was taken, so that "the
order in which they were enqueued" is the order of versions. What the broker did not take, or did not answer for, is
handed over again. An update by id waits until the record's id is known.
"""

import heapq
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import redis

from oppsync_ops.prove.contender import Away, Contender, Producer
from oppsync_ops.prove.planned import By, PlannedJob
from oppsync_ops.prove.poison import Poison
from oppsync_ops.prove.stage import Stage

AGAIN_S: Final = 0.3
ASK_AGAIN_S: Final = 1.0


@dataclass
class Handed:
    """What was handed over so far. Written by producers, read by everybody."""

    jobs: dict[str, PlannedJob] = field(default_factory=dict)
    poison: list[Poison] = field(default_factory=list)
    repeated: int = 0
    """Calls that failed or went unanswered, and were made again."""


@dataclass(order=True)
class _Turn:
    due: float
    number: int
    jobs: deque[PlannedJob] = field(compare=False)


class Producers:
    """All of them, for as long as the block lasts."""

    def __init__(self, stage: Stage, contender: Contender) -> None:
        self._stage = stage
        self._contender = contender
        self._over = threading.Event()
        self._failures: list[BaseException] = []
        self.handed = Handed()
        self.left = 0
        """Jobs that have not been handed over yet."""
        self._counting = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self, began: float) -> None:
        """Begin; `began` is when the load starts, on the monotonic clock."""
        lines: defaultdict[str, list[PlannedJob]] = defaultdict(list)
        for job in self._stage.plan.jobs:
            lines[job.instance].append(job)
        self.left = len(self._stage.plan.jobs)
        self._threads = [
            threading.Thread(target=self._guarded, args=(self._hand_over, jobs, began), name=f"producer-{instance}")
            for instance, jobs in lines.items()
        ]
        self._threads.append(threading.Thread(target=self._guarded, args=(self._poison, began), name="producer-poison"))
        for thread in self._threads:
            thread.start()

    def so_far(self) -> list[str]:
        """The jobs that were handed over by now; there may be more at any moment."""
        with self._counting:
            return list(self.handed.jobs)

    def adopt(self, jobs: Iterable[PlannedJob]) -> None:
        """Jobs that somebody else has handed over: they are judged like all others."""
        with self._counting:
            self.handed.jobs.update((job.job_id, job) for job in jobs)

    def stop(self) -> None:
        """Give up what could not be handed over.

        Raises:
            Exception: a producer failed, of which nothing may be concluded.
        """
        self._over.set()
        for thread in self._threads:
            # An interrupt may have come before all of them were started.
            if thread.is_alive():
                thread.join()
        if self._failures:
            raise self._failures[0]

    def _guarded(self, work: object, *arguments: object) -> None:
        try:
            work(*arguments)  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            self._failures.append(error)

    def _hand_over(self, jobs: Iterable[PlannedJob], began: float) -> None:
        records: defaultdict[int, deque[PlannedJob]] = defaultdict(deque)
        creates = {job.number: job for job in jobs if job.creates}
        for job in sorted(jobs, key=lambda one: one.version):
            records[job.number].append(job)
        load_s = self._stage.plan.load_s
        turns = [_Turn(began + line[0].at * load_s, number, line) for number, line in records.items()]
        heapq.heapify(turns)
        with self._contender.producer() as producer:
            while turns:
                turn = heapq.heappop(turns)
                if self._over.wait(max(0.0, turn.due - time.monotonic())):
                    return
                pause = self._one(producer, turn.jobs[0], creates.get(turn.number))
                if pause:
                    heapq.heappush(turns, _Turn(time.monotonic() + pause, turn.number, turn.jobs))
                    continue
                turn.jobs.popleft()
                if turn.jobs:
                    heapq.heappush(turns, _Turn(began + turn.jobs[0].at * load_s, turn.number, turn.jobs))

    def _one(self, producer: Producer, job: PlannedJob, create: PlannedJob | None) -> float:
        """Hand one job over; or seconds until it is to be tried again."""
        try:
            opportunity_id = producer.opportunity_id(create) if job.by is By.ID and create else None
            if job.by is By.ID and opportunity_id is None:
                return ASK_AGAIN_S
            producer.enqueue(job, opportunity_id=opportunity_id)
        except Away:
            with self._counting:
                self.handed.repeated += 1
            return AGAIN_S
        with self._counting:
            self.handed.jobs[job.job_id] = job
            self.left -= 1
        return 0.0

    def _poison(self, began: float) -> None:
        waiting = [
            (began + one.at * self._stage.plan.load_s, turn, one) for turn, one in enumerate(self._stage.plan.poison)
        ]
        with self._stage.redis.client() as client:
            while waiting:
                due, turn, one = heapq.heappop(waiting)
                if self._over.wait(max(0.0, due - time.monotonic())):
                    return
                if not self._pushed(client, one):
                    heapq.heappush(waiting, (time.monotonic() + AGAIN_S, turn, one))

    def _pushed(self, client: redis.Redis, one: Poison) -> bool:
        if one.borrows and one.borrows not in self.handed.jobs:
            return False  # it is to be the second of its id
        try:
            client.lpush(self._contender.queues[one.lane], one.raw)
        except redis.RedisError:
            return False
        self.handed.poison.append(one)
        return True

"""Moves the neighbours in, releases what is held, and hands over the quiet jobs that must not feel any of it."""

import threading
import time
from collections.abc import Callable, Container, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import redis

from oppsync_ops.prove.contender import Away, Contender, Many
from oppsync_ops.prove.driver import Deed
from oppsync_ops.prove.evidence import Request
from oppsync_ops.prove.neighbours import EXPIRE_AFTER_S, SPARED, Neighbour, Trouble, jobs_of, quiet_jobs
from oppsync_ops.prove.planned import Fate
from oppsync_ops.prove.producers import AGAIN_S, Producers
from oppsync_ops.prove.schedule import Fault
from oppsync_ops.prove.stage import Stage
from oppsync_ops.prove.waits import Beat, Outage, Phase, Wait, Waiting, with_lost_trials

BATCH: Final = 500
BEAT_EVERY_S: Final = 0.1
LOOK_EVERY_S: Final = 0.5
LOOK_MARGIN_S: Final = 15.0
"""How much longer than its call a look-up is left to a worker of which nothing is heard."""


class Neighbourhood:
    """Everything about neighbours, for as long as the block lasts."""

    def __init__(self, stage: Stage, contender: Contender, many: Many, producers: Producers) -> None:
        self._stage = stage
        self._contender = contender
        self._many = many
        self._producers = producers
        self._phases = stage.plan.phases
        self._over = threading.Event()
        self._failures: list[BaseException] = []
        self._began = 0.0
        self._threads: list[threading.Thread] = []
        self._phase_of: dict[str, Phase] = {}
        self.beats: list[Beat] = []
        self.lifted_at: float | None = None

    def start(self, began: float) -> None:
        """Begin with the calm, on the monotonic clock."""
        self._began = began
        for work in (self._hand_over_quiet, self._live, self._beat):
            self._threads.append(threading.Thread(target=self._guarded, args=(work,), name=work.__name__))
        for thread in self._threads:
            thread.start()

    @property
    def over(self) -> bool:
        """Whether the time before the load is over.

        Raises:
            Exception: something here failed, of which nothing may be concluded.
        """
        if self._failures:
            raise self._failures[0]
        return time.monotonic() - self._began >= self._phases.calm_s + self._phases.beside_s

    def lift(self) -> None:
        """The load is over: nothing more is handed over, and an operator releases whoever is on hold."""
        self.lifted_at = time.time()
        self.stop()
        for one in self._stage.plan.neighbours:
            self._insist(partial(self._many.release, instance=one.instance))

    def stop(self) -> None:
        """Hand over nothing more.

        Raises:
            Exception: something here failed, of which nothing may be concluded.
        """
        self._over.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        if self._failures:
            raise self._failures[0]

    def waiting(self, deeds: Sequence[Deed], requests: Sequence[Request]) -> Waiting:
        """What the quiet jobs waited, by the times that Redis' own clock has of them."""
        hit = {one.job_id for one in requests if one.fault and not one.fault.startswith(SPARED)}
        times = self._many.times(list(self._phase_of))
        waits = [
            Wait(job_id, phase, self._producers.handed.jobs[job_id].lane, *times[job_id], hit=job_id in hit)
            for job_id, phase in self._phase_of.items()
            if job_id in times
        ]
        form = self._stage.plan.form
        kills = tuple(one.at for one in deeds if one.fault in {Fault.KILL, Fault.KILLER})
        outages = with_lost_trials(
            [Outage(one.at, one.until) for one in deeds if one.fault is not Fault.CLOCK],
            [Outage(one.at, one.until) for one in deeds if one.fault is Fault.CRM_REFUSED],
            kills,
            lease_s=form.lease_s,
        )
        explained_s = form.lease_s + form.probe_after_s[-1]
        return Waiting(
            tuple(waits), tuple(outages), tuple(self.beats), explained_s, kills, look_s=form.call_s + LOOK_MARGIN_S
        )

    def held_up(self, hit: Container[str]) -> dict[str, float | None]:
        """When each good job of the neighbour with one refused job succeeded; not those that a fault has hit."""
        names = {one.instance for one in self._stage.plan.neighbours if one.trouble is Trouble.ONE_REFUSED}
        good = [
            job_id
            for job_id, job in self._producers.handed.jobs.items()
            if job.instance in names and job.fate is Fate.SUCCEEDED and job_id not in hit
        ]
        times = self._many.times(good)
        found: dict[str, float | None] = {}
        for job_id in good:
            began, seconds = times.get(job_id, (0.0, None))
            found[job_id] = None if seconds is None else began + seconds
        return found

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            self._failures.append(error)

    def _until(self, at_s: float) -> bool:
        """Wait until so many seconds after the start of the calm; False when everything is over before."""
        return not self._over.wait(max(0.0, self._began + at_s - time.monotonic()))

    @property
    def _phase(self) -> Phase:
        passed_s = time.monotonic() - self._began
        if passed_s < self._phases.calm_s:
            return Phase.CALM
        return Phase.BESIDE if passed_s < self._phases.calm_s + self._phases.beside_s else Phase.FIRE

    def _hand_over_quiet(self) -> None:
        plan = self._stage.plan
        with self._contender.producer() as producer:
            for at_s, job in quiet_jobs(self._phases, plan.form, leads=plan.options.leads):
                if not self._until(at_s):
                    return
                phase = self._phase
                while not self._over.is_set():
                    try:
                        producer.enqueue(job, opportunity_id=None)
                    except Away:
                        self._over.wait(AGAIN_S)
                        continue
                    self._phase_of[job.job_id] = phase
                    self._producers.adopt([job])
                    break

    def _live(self) -> None:
        """The neighbours' life, from the end of the calm on."""
        if not self._until(self._phases.calm_s):
            return
        plan = self._stage.plan
        left_s = self._phases.beside_s + self._phases.load_s + EXPIRE_AFTER_S
        deadline = datetime.now(UTC) + timedelta(seconds=left_s)
        self._stage.crm.add_faults([rule.document() for rule in plan.neighbours_rules])
        for one in plan.neighbours:
            if one.trouble is Trouble.HELD:
                self._insist(partial(self._many.hold, instance=one.instance))
        for one in sorted(plan.neighbours, key=lambda one: one.jobs):
            self._move_in(one, deadline)
        turned = False
        while not self._over.wait(LOOK_EVERY_S):
            if not turned and time.monotonic() - self._began >= self._phases.turn_s:
                turned = True
                self._release(Trouble.HELD, Trouble.REVOKED, Trouble.ONE_REFUSED)

    def _move_in(self, neighbour: Neighbour, deadline: datetime) -> None:
        plan = self._stage.plan
        jobs = list(jobs_of(neighbour, plan.options.seed, leads=plan.options.leads))
        for start in range(0, len(jobs), BATCH):
            batch = jobs[start : start + BATCH]
            while not self._over.is_set():
                try:
                    self._many.enqueue(batch, deadline=deadline if batch[0].fate is Fate.LATE else None)
                except Away:
                    self._over.wait(AGAIN_S)
                    continue
                self._producers.adopt(batch)
                break

    def _release(self, *troubles: Trouble) -> None:
        for one in self._stage.plan.neighbours:
            if one.trouble in troubles:
                self._insist(partial(self._many.release, instance=one.instance))

    def _insist(self, work: Callable[[redis.Redis], None]) -> None:
        """Do it, again while Redis is away."""
        deadline = time.monotonic() + 30.0
        while True:
            try:
                with self._stage.redis.client() as client:
                    work(client)
            except redis.RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(AGAIN_S)
            else:
                return

    def _beat(self) -> None:
        """What a machine that is busy costs everybody: a question to the CRM that it answers at once.

        Not one to Redis: what holds Redis up may be a script of the product's, which is no excuse.
        """
        while not self._over.wait(BEAT_EVERY_S):
            phase, began = self._phase, time.monotonic()
            self._stage.crm.faults()
            self.beats.append(Beat(phase, time.monotonic() - began))

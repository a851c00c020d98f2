"""Commits the faults of the plan, and notes whom each of them hit."""

import contextlib
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import redis

from oppsync_ops.prove.contender import Claim, Contender
from oppsync_ops.prove.fleet import Fleet
from oppsync_ops.prove.planned import PlannedJob
from oppsync_ops.prove.recovery import Recoveries
from oppsync_ops.prove.schedule import Fault, PlannedFault
from oppsync_ops.prove.stage import Stage

AT_ONCE: Final = 16
CLAIM_LOOK_S: Final = 0.02
CLAIM_PATIENCE_S: Final = 30.0
SHARE_OF_CLIENTS: Final = 0.5
"""Of all connections to Redis, those that one CLIENT KILL ends."""


@dataclass(frozen=True, slots=True)
class Deed:
    """A fault that was committed: when (seconds since 1970), and the jobs that were in the hands of whom it hit."""

    fault: Fault
    at: float
    jobs: tuple[str, ...]
    says: str = ""
    until: float = 0.0
    """When it was over."""


class Driver:
    """Commits every fault of the plan at its time."""

    def __init__(self, stage: Stage, contender: Contender, fleet: Fleet, recoveries: Recoveries) -> None:
        self._stage = stage
        self._contender = contender
        self._fleet = fleet
        self._recoveries = recoveries
        self._redis_lock = threading.Lock()
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="driver")
        self._over = threading.Event()
        self._running: Future[None] | None = None
        self.deeds: list[Deed] = []
        self._deeds: dict[Fault, Callable[[PlannedFault], Deed]] = {
            Fault.KILL: self._kill,
            Fault.ROLLING: self._rolling,
            Fault.REDIS_KILL: self._redis_kill,
            Fault.CLIENT_KILL: self._client_kill,
            Fault.REDIS_CUT: self._redis_link,
            Fault.REDIS_HALF_OPEN: self._redis_link,
            Fault.REDIS_REFUSED: self._redis_link,
            Fault.CRM_CUT: self._crm_link,
            Fault.CRM_HALF_OPEN: self._crm_link,
            Fault.CRM_REFUSED: self._crm_refused,
            Fault.CLOCK: self._clock,
        }

    def start(self, began: float) -> None:
        """Begin; the load began at `began` on the monotonic clock."""
        self._running = self._pool.submit(self._run, began)

    @property
    def busy(self) -> bool:
        """Whether a fault is still to come, or to end.

        Raises:
            Exception: a fault could not be committed, so nothing may be concluded from the run.
        """
        if self._running is None or not self._running.done():
            return True
        self._running.result()
        return False

    def stop(self) -> None:
        """Commit no more, and end what is going on."""
        self._over.set()
        self._pool.shutdown(wait=True)

    def _run(self, began: float) -> None:
        pending: list[Future[None]] = []
        for planned in self._stage.plan.faults:
            due = began + planned.at * self._stage.plan.load_s
            if self._over.wait(max(0.0, due - time.monotonic())):
                return
            pending.append(self._pool.submit(self._commit, planned))
        for one in pending:
            one.result()

    def _commit(self, planned: PlannedFault) -> None:
        self.deeds.append(replace(self._deeds[planned.fault](planned), until=time.time()))

    def _kill(self, planned: PlannedFault) -> Deed:
        worker = planned.worker or 0
        with self._fleet.held(worker):
            name, at = self._fleet.name(worker), time.time()
            self._fleet.kill(worker)
            orphans = self._orphaned(name, time.monotonic())
            self._fleet.start(worker)
        return Deed(planned.fault, at, _ids(orphans), f"worker {worker}")

    def _orphaned(self, name: str, killed_at: float) -> list[Claim]:
        """What the ledger holds in a dead worker's name; asked for again while Redis is away."""
        deadline = time.monotonic() + CLAIM_PATIENCE_S
        while time.monotonic() < deadline:
            try:
                with self._stage.redis.client() as client:
                    claims = [claim for claim in self._contender.claims(client) if claim.worker == name]
                    self._recoveries.adopt(claims, killed_at, client)
            except redis.RedisError:
                if self._over.wait(CLAIM_LOOK_S):
                    break
            else:
                return claims
        return []

    def kill_who_sends(self, job: PlannedJob) -> Deed | None:
        """Kill the worker that is sending this job now, if there is one, and start it again."""
        with self._stage.redis.client() as client:
            claims = self._contender.claims(client)
            mine = [claim for claim in claims if claim.job_id == job.job_id]
            if not mine or not self._contender.sending(client, mine[0]):
                return None
        worker = self._fleet.number_of(mine[0].worker)
        if worker is None:
            return None
        with self._fleet.held(worker):
            if self._fleet.name(worker) != mine[0].worker:
                return None
            return self._kill(PlannedFault(Fault.KILLER, 0.0, worker=worker))

    def _rolling(self, planned: PlannedFault) -> Deed:
        at, jobs = time.time(), set[str]()
        for worker in range(1, self._stage.plan.options.workers):
            with self._fleet.held(worker):
                jobs |= set(_ids(self._claims(worker)))
                self._fleet.stop(worker)
                self._fleet.start(worker)
        return Deed(planned.fault, at, tuple(sorted(jobs)), "all but worker 0")

    def _redis_kill(self, planned: PlannedFault) -> Deed:
        with self._redis_lock:
            at, claims = time.time(), self._claims(None)
            since = time.monotonic()
            self._stage.redis.kill()
            self._over.wait(planned.lasts_s)
            self._stage.redis.start()
            self._recoveries.redis_was_down(since, time.monotonic())
            back_s = self._claiming_again(since)
        if back_s is not None:
            self._recoveries.redis_back_s.append(back_s)
        return Deed(planned.fault, at, _ids(claims), f"away for {planned.lasts_s:.1f} s")

    def _claiming_again(self, since: float) -> float | None:
        """Seconds from `since` until somebody claims a job again; None when nobody has to."""
        with self._stage.redis.client() as client:
            try:
                before = self._contender.claimed(client)
                while time.monotonic() - since < CLAIM_PATIENCE_S:
                    if self._contender.claimed(client) != before:
                        return time.monotonic() - since
                    if self._over.wait(CLAIM_LOOK_S):
                        break
            except redis.RedisError:
                return None
        return None

    def _client_kill(self, planned: PlannedFault) -> Deed:
        at, claims, ended = time.time(), self._claims(None), 0
        chance = random.Random(f"{self._stage.plan.options.seed}/{planned.at}")
        with self._redis_lock, self._stage.redis.client() as client:
            for one in client.client_list():
                if chance.random() < SHARE_OF_CLIENTS:
                    ended += int(client.client_kill_filter(_id=one["id"], skipme=True))
        return Deed(planned.fault, at, _ids(claims), f"{ended} connections")

    def _redis_link(self, planned: PlannedFault) -> Deed:
        worker = planned.worker or 0
        link = self._stage.links[worker].to_redis
        at, claims = time.time(), self._claims(worker)
        match planned.fault:
            case Fault.REDIS_CUT:
                link.cut()
            case Fault.REDIS_REFUSED:
                link.refuse()
                self._over.wait(planned.lasts_s)
                link.flow()
            case _:
                link.freeze()
                self._over.wait(planned.lasts_s)
                if planned.ends_cut:
                    link.cut()
                link.flow()
        return Deed(planned.fault, at, _ids(claims), f"worker {worker}")

    def _crm_link(self, planned: PlannedFault) -> Deed:
        worker = planned.worker or 0
        link = self._stage.links[worker].to_crm
        at, claims = time.time(), self._claims(worker)
        if link is None:
            raise ValueError(f"worker {worker} has no proxy before the CRM")
        if planned.fault is Fault.CRM_HALF_OPEN:
            link.freeze()
            self._over.wait(planned.lasts_s)
        link.cut()
        link.flow()
        return Deed(planned.fault, at, _ids(claims), f"worker {worker}")

    def _crm_refused(self, planned: PlannedFault) -> Deed:
        at, claims = time.time(), self._claims(None)
        self._stage.crm.refuse(planned.lasts_s)
        self._over.wait(planned.lasts_s)
        return Deed(planned.fault, at, _ids(claims), f"for {planned.lasts_s:.1f} s")

    def _clock(self, planned: PlannedFault) -> Deed:
        worker = planned.worker or 0
        with self._fleet.held(worker):
            # Before it serves, it has no clock that could jump, and the signal would end it.
            up = self._serves(worker)
            at, claims = time.time(), self._claims(worker)
            if up:
                self._fleet.signal(worker, signal.SIGUSR2)
        return Deed(planned.fault, at, _ids(claims), f"worker {worker}" + ("" if up else ", which was not up"))

    def _serves(self, worker: int) -> bool:
        """Whether a worker is up, or comes up within some time."""
        deadline = time.monotonic() + CLAIM_PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(redis.RedisError), self._stage.redis.client() as client:
                if self._fleet.name(worker) in self._contender.serving(client):
                    return True
            if self._over.wait(CLAIM_LOOK_S):
                break
        return False

    def _claims(self, worker: int | None) -> list[Claim]:
        """The claims of one worker, or of all; empty while Redis is away."""
        try:
            with self._stage.redis.client() as client:
                claims = self._contender.claims(client)
        except redis.RedisError:
            return []
        return claims if worker is None else [one for one in claims if one.worker == self._fleet.name(worker)]


def _ids(claims: list[Claim]) -> tuple[str, ...]:
    return tuple(sorted({claim.job_id for claim in claims}))

"""One flood: the hand-over, the kills, the end, the audit."""

import os
import random
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Final

import redis

from oppsync import CreateOpportunity, JobClient, UpdateOpportunity
from oppsync_ops.overview.standing import read_standing
from oppsync_ops.processes import ProcessEnded, Processes
from oppsync_ops.prove.fleet import STOP_MARGIN_S, Fleet
from oppsync_ops.prove.flood import journal
from oppsync_ops.prove.flood.audit import DONE, Ledger
from oppsync_ops.prove.flood.deals import Deal, deals
from oppsync_ops.prove.flood.result import FloodOptions, FloodResult
from oppsync_ops.prove.flood.setting_up import CrmProcess, worker_command
from oppsync_ops.prove.ledger_claims import claims_in
from oppsync_ops.prove.memory import resident_bytes
from oppsync_ops.prove.stage import Redis
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.states import State
from oppsync_worker.ledger.connect import LedgerUnavailable

BATCH: Final = 500
DEEP: Final = 20_000
"""Jobs that are waiting at a time: enough that no worker is ever idle, and no more, so that memory stays flat."""
REDIS_EVERY: Final = 10
"""One kill in so many is of Redis; at least one."""
LOOK_EVERY_S: Final = 0.5
SURE: Final = 3
"""Looks in a row that find nothing waiting."""
START_PATIENCE_S: Final = 60.0
LOADING_PATIENCE_S: Final = 300.0
MIB: Final = 2**20


Told = Callable[[str, int, int], None]
"""Called with what is going on, how much of it is done, and of how much."""


def flood(options: FloodOptions, folder: Path, told: Told) -> FloodResult:
    """Do it, in a folder of its own.

    Raises:
        ProcessEnded, NoRedisServer: something that is not put to the proof did not work.
    """
    with ExitStack() as stack:
        server = Redis(folder / "redis", patience_s=LOADING_PATIENCE_S)
        stack.callback(server.stop)
        processes = stack.enter_context(Processes(folder))
        crm = CrmProcess(processes, folder)
        fleet = Fleet(
            processes,
            worker_command(options, folder, server, crm),
            workers=options.workers,
            patience_s=10.0 + STOP_MARGIN_S,
        )
        stack.enter_context(fleet.running())
        run = _Flood(options, server, crm, fleet, told)
        run.play()
        fleet.stop_all()
        return run.judged()


class _Flood:
    def __init__(self, options: FloodOptions, server: Redis, crm: CrmProcess, fleet: Fleet, told: Told) -> None:
        self.options, self.server, self.crm, self.fleet, self.told = options, server, crm, fleet, told
        self.result = FloodResult(options)
        self._chance = random.Random(f"{options.seed}/kills")
        self._killed_at = 0.0

    def play(self) -> None:
        """Hand over, kill, and wait for the end."""
        self._wait_for_workers()
        began = time.monotonic()
        coming = pieces(deals(self.options.seed, self.options.jobs), BATCH)
        left, nothing = True, 0
        ended, moved = 0, time.monotonic()
        with JobClient(self.server.url) as client:
            while True:
                waiting = self._waiting()
                while left and waiting < DEEP:
                    batch = next(coming, None)
                    if batch is None:
                        left, self.result.hand_over_s = False, time.monotonic() - began
                        break
                    self._hand_over(client, [_built(deal) for deal in batch])
                    waiting += len(batch)
                now = time.monotonic()
                if self.result.handed - waiting > ended:
                    ended, moved = self.result.handed - waiting, now
                self._report(ended, began)
                # Places are counted one after the other: a job that moves meanwhile may be missed, but not every time.
                nothing = nothing + 1 if not left and waiting <= 0 else 0
                if nothing >= SURE:
                    break
                if now - max(moved, self._killed_at) > self.options.patience_s:
                    self.result.gave_up = True
                    break
                self._kill_when_due(ended)
                time.sleep(LOOK_EVERY_S)
        self.result.seconds = time.monotonic() - began
        if not self.result.gave_up:
            # What a worker that was killed had in hand comes back after a lease, and would be carried out again if
            # nothing prevented that.
            time.sleep(self.options.lease_s + 1)

    def judged(self) -> FloodResult:
        """The audit, in pieces: the journal first, then every job in the order of its hand-over."""
        result, ledger = self.result, Ledger(self.result.found)
        counts = self.crm.flush()
        ledger.read(journal.read(self.crm.journal))
        result.requests, result.look_ups = ledger.requests, counts["looked"]
        newest = array("H")
        done = 0
        with JobClient(self.server.url) as client:
            for batch in pieces(deals(self.options.seed, self.options.jobs), BATCH):
                if done >= result.handed:
                    break
                states = [one.state for one in client.outcomes([deal.job_id for deal in batch])]
                ledger.judge(zip(batch, states, strict=True))
                note_newest(newest, zip(batch, states, strict=True))
                done += len(batch)
                self.told("audited", done, result.handed)
        ledger.judge_records(enumerate(newest))
        with self.server.client() as redis_client:
            result.strays = {word: count for word, count in read_standing(redis_client).strays.items() if count}
        result.exits = tuple(self.fleet.exits)
        self._weigh()
        return result

    def _wait_for_workers(self) -> None:
        deadline = time.monotonic() + START_PATIENCE_S
        while time.monotonic() < deadline:
            with self.server.client() as client:
                if len(read_standing(client).workers) >= self.options.workers:
                    return
            if self.fleet.exits:
                raise ProcessEnded(self.fleet.exits[0])
            time.sleep(0.1)
        raise ProcessEnded(f"the workers did not come up within {START_PATIENCE_S:g} s")

    def _hand_over(self, client: JobClient, jobs: list[AnyJob]) -> None:
        while True:
            try:
                client.hand_over(jobs)
            except LedgerUnavailable:
                self.result.repeated += 1
                time.sleep(LOOK_EVERY_S)
            else:
                self.result.handed += len(jobs)
                return

    def _waiting(self) -> int:
        """Jobs at no end, wherever they are."""
        while True:
            try:
                with self.server.client() as client:
                    found = read_standing(client)
            except redis.RedisError:
                time.sleep(LOOK_EVERY_S)
                continue
            places = sum(found.places[name].jobs for name in ("schedule", "blocked", "in_doubt"))
            return sum(found.lanes.values()) + found.claimed + places + sum(found.waiting.values())

    def _kill_when_due(self, ended: int) -> None:
        kills = self.result.worker_kills + self.result.redis_kills
        planned = self.options.planned_kills
        if kills >= planned or ended < (kills + 1) * self.options.jobs // (planned + 1):
            return
        self._killed_at = time.monotonic()
        if kills % REDIS_EVERY == min(REDIS_EVERY, planned) // 2:
            self.server.kill()
            self.server.start()
            self.result.redis_kills += 1
            return
        worker = self._chance.randrange(self.options.workers)
        with self.fleet.held(worker):
            name = self.fleet.name(worker)
            self.fleet.kill(worker)
            self.result.worker_kills += 1
            self.result.in_hand += self._in_hand(name)
            self.fleet.start(worker)

    def _in_hand(self, name: str) -> int:
        """How many jobs a worker had when it was killed."""
        with self.server.client() as client:
            return sum(claim.worker == name for claim in claims_in(client))

    def _report(self, ended: int, began: float) -> None:
        self._weigh()
        rate = ended / max(0.001, time.monotonic() - began)
        kills = self.result.worker_kills + self.result.redis_kills
        self.told(f"{kills} kills, {rate:.0f} jobs/s", ended, self.options.jobs)

    def _weigh(self) -> None:
        pids = {"CRM": self.crm.child.process.pid, "Redis": self.server.pid}
        pids["the proof itself"] = os.getpid()
        for name, pid in [*pids.items(), *(("a worker", pid) for pid in self.fleet.pids())]:
            weight = (resident_bytes(pid) or 0) / MIB
            self.result.peaks_mib[name] = max(weight, self.result.peaks_mib.get(name, 0.0))


def note_newest(newest: "array[int]", judged: Iterable[tuple[Deal, State]]) -> None:
    """Of each record, the newest version among the jobs that succeeded."""
    for deal, state in judged:
        while len(newest) <= deal.record:
            newest.append(0)
        if state in DONE:
            newest[deal.record] = max(newest[deal.record], deal.version)


def _built(deal: Deal) -> AnyJob:
    parse: Any = UpdateOpportunity.parse if deal.version else CreateOpportunity.parse
    return parse(deal.document())  # type: ignore[no-any-return]


def pieces(whole: Iterable[Deal], size: int) -> Iterator[list[Deal]]:
    """One list of so many after the other."""
    left = iter(whole)
    while piece := list(islice(left, size)):
        yield piece

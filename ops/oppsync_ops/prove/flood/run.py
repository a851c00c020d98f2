"""One flood: the hand-over, the kills, the end, the audit."""

import json
import os
import random
import sys
import time
import urllib.request
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import redis

from oppsync import CreateOpportunity, JobClient, UpdateOpportunity
from oppsync_ops.overview.standing import read_standing
from oppsync_ops.processes import Child, ProcessEnded, Processes, clean_environ
from oppsync_ops.prove.contender import Command
from oppsync_ops.prove.fleet import STOP_MARGIN_S, Fleet
from oppsync_ops.prove.flood import journal
from oppsync_ops.prove.flood.audit import DONE, Found, Ledger
from oppsync_ops.prove.flood.crm import MARKER_FIELD
from oppsync_ops.prove.flood.deals import INSTANCES, Deal, deals
from oppsync_ops.prove.ledger_claims import claims_in
from oppsync_ops.prove.memory import resident_bytes
from oppsync_ops.prove.stage import Redis
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.states import State
from oppsync_worker.ledger.connect import LedgerUnavailable

QUIET: Final = ("--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat")
CONCURRENCY: Final = 100
BATCH: Final = 500
LATENCY_MS: Final = 30.0
"""Without any, hardly a request would be on its way when its worker is killed."""
DEEP: Final = 20_000
"""Jobs that are waiting at a time: enough that no worker is ever idle, and no more, so that memory stays flat."""
LONG_FROM_JOBS: Final = 100_000
"""From here on with the product's own lease."""
JOBS_PER_KILL: Final = 8_000
LEAST_KILLS: Final = 6
REDIS_EVERY: Final = 10
"""One kill in so many is of Redis; at least one."""
LOOK_EVERY_S: Final = 0.5
STALL_S: Final = 150.0
"""Nothing has ended for so long, and nobody was killed: nothing will."""
START_PATIENCE_S: Final = 60.0
LOADING_PATIENCE_S: Final = 300.0
PROBES_S: Final = (1.0, 3.0, 6.0, 10.0, 14.0)
MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class FloodOptions:
    """What a person chooses."""

    seed: int
    jobs: int
    workers: int
    kills: int | None = None
    """None: one for so many jobs."""

    @property
    def planned_kills(self) -> int:
        """How many processes are killed."""
        return max(LEAST_KILLS, self.jobs // JOBS_PER_KILL) if self.kills is None else self.kills

    @property
    def lease_s(self) -> float:
        """How long a silent worker keeps its jobs."""
        return 25.0 if self.jobs >= LONG_FROM_JOBS else 3.0

    @property
    def patience_s(self) -> float:
        """How long nothing may end before the run is given up."""
        return STALL_S + 2 * self.lease_s


@dataclass
class FloodResult:
    """What came of it."""

    options: FloodOptions
    handed: int = 0
    worker_kills: int = 0
    redis_kills: int = 0
    in_hand: int = 0
    """Jobs that were in the hands of workers when those were killed."""
    hand_over_s: float = 0.0
    seconds: float = 0.0
    """From the first hand-over until the last job had ended, or everybody gave up."""
    requests: int = 0
    look_ups: int = 0
    repeated: int = 0
    gave_up: bool = False
    exits: tuple[str, ...] = ()
    found: Found = field(default_factory=Found)
    strays: dict[str, int] = field(default_factory=dict)
    peaks_mib: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Jobs a second, kills and all."""
        return self.handed / self.seconds if self.seconds else 0.0

    @property
    def breaches(self) -> int:
        """Of all kinds."""
        return self.found.total + len(self.exits) + sum(self.strays.values())


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
        crm = _Crm(processes, folder)
        fleet = Fleet(
            processes,
            _command(options, folder, server, crm),
            workers=options.workers,
            patience_s=10.0 + STOP_MARGIN_S,
        )
        stack.enter_context(fleet.running())
        run = _Flood(options, server, crm, fleet, told)
        run.play()
        fleet.stop_all()
        return run.judged()


class _Crm:
    """The CRM's process, and its journal."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self.journal = folder / "journal.bin"
        arguments = [sys.executable, "-m", "oppsync_ops.prove.flood.crm", str(self.journal), f"{LATENCY_MS:g}"]
        self.child: Child = processes.start("crm", arguments, clean_environ(), talks=True)
        line = self.child.process.stdout.readline() if self.child.process.stdout else b""
        if not line:
            raise ProcessEnded(f"the CRM did not start: {self.child.last_words()}")
        self.url = str(json.loads(line)["url"])

    def flush(self) -> dict[str, int]:
        """What it has counted so far; everything before is in the journal."""
        self.child.must_run()
        # An address on loopback that the CRM itself has given.
        with urllib.request.urlopen(f"{self.url}/__flood/flush", timeout=30) as answer:  # noqa: S310
            return dict(json.load(answer))


class _Flood:
    def __init__(self, options: FloodOptions, server: Redis, crm: _Crm, fleet: Fleet, told: Told) -> None:
        self.options, self.server, self.crm, self.fleet, self.told = options, server, crm, fleet, told
        self.result = FloodResult(options)
        self._chance = random.Random(f"{options.seed}/kills")
        self._killed_at = 0.0

    def play(self) -> None:
        """Hand over, kill, and wait for the end."""
        self._wait_for_workers()
        began = time.monotonic()
        coming = pieces(deals(self.options.seed, self.options.jobs), BATCH)
        left = True
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
                if not left and waiting <= 0:
                    break
                if now - max(moved, self._killed_at) > self.options.patience_s:
                    self.result.gave_up = True
                    break
                self._kill_when_due(ended)
                time.sleep(LOOK_EVERY_S if waiting >= DEEP // 2 or not left else 0)
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


def _command(options: FloodOptions, folder: Path, server: Redis, crm: _Crm) -> Callable[[int], Command]:
    instances = folder / "instances.toml"
    instances.write_text("\n".join(line for name in INSTANCES for line in _table(name)), "utf-8")
    environ = clean_environ(
        REDIS_URL=server.url,
        SPRINTHUB_BASE_URL=crm.url,
        SPRINTHUB_INSTANCES_FILE=str(instances),
        OPPSYNC_CONCURRENCY=str(CONCURRENCY),
        OPPSYNC_LEASE_SECONDS=f"{options.lease_s:g}",
        OPPSYNC_HEALTH_DIR=str(folder / "health"),
        OPPSYNC_LOG="json",
        OPPSYNC_LOG_LEVEL="WARNING",
    )

    def command(worker: int) -> Command:
        arguments = [sys.executable, "-m", "celery", "--app", "oppsync_worker.app", "worker", *QUIET]
        return Command([*arguments, "--hostname", f"flood-{worker}@%h"], environ)

    return command


def _table(name: str) -> Iterator[str]:
    yield f"[{name}]"
    yield f'token = "flood-{name}-0123456789"'
    yield f'marker_field = "{MARKER_FIELD}"'
    yield from ("connect_seconds = 2.0", "read_seconds = 8.0", "call_seconds = 10.0")
    yield f"[{name}.budget]"
    yield from ("requests = 0", "concurrency = 0")
    yield f"[{name}.retry]"
    yield from ("max_attempts = 60", "first_delay_seconds = 0.3", "max_delay_seconds = 3.0")
    yield f"[{name}.reconcile]"
    yield f"probe_after_seconds = {list(PROBES_S)}"
    yield f"[{name}.order]"
    yield "settle_seconds = 3.0"

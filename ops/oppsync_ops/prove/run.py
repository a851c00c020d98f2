"""One run: the load, the faults, the settling, the audit."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from oppsync_ops.processes import ProcessEnded
from oppsync_ops.prove.audit import Audit, audit
from oppsync_ops.prove.collecting import collect
from oppsync_ops.prove.contender import Contender
from oppsync_ops.prove.driver import Driver
from oppsync_ops.prove.evidence import Evidence
from oppsync_ops.prove.executioner import Executioner
from oppsync_ops.prove.fleet import STOP_MARGIN_S, Fleet
from oppsync_ops.prove.hits import FaultCount, Hit, by_job, counted, hits
from oppsync_ops.prove.memory import Growth, growth
from oppsync_ops.prove.neighbourhood import Neighbourhood
from oppsync_ops.prove.neighbours import SPARED
from oppsync_ops.prove.plan import Plan
from oppsync_ops.prove.producers import Producers
from oppsync_ops.prove.recovery import Recoveries, Recovery
from oppsync_ops.prove.schedule import Fault
from oppsync_ops.prove.settling import settle
from oppsync_ops.prove.stage import Stage, staged
from oppsync_ops.spread import most_in_any_window, shortest_span

LOOK_EVERY_S: Final = 0.5
START_PATIENCE_S: Final = 60.0
EXPLAINED: Final = 20
"""Breaches of each kind that are looked into."""

Make = Callable[[Stage], Contender]


class Teller:
    """Told how far a run has come. Says nothing by itself."""

    def step(self, says: str) -> None:
        """A new part of the run begins."""

    def load(self, handed: int, total: int) -> None:
        """So many jobs have been handed over."""

    def settled(self, settled: int, total: int) -> None:
        """So many jobs are at their end."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How close an instance came to its budget."""

    budget: int
    most: int
    """Requests in any window."""
    one_more_s: float | None
    """The shortest time in which one more than the budget came: over the budget is what is below the window."""

    @classmethod
    def of(cls, evidence: Evidence, instance: str) -> "Pace":
        """The pace of one instance."""
        allowance = evidence.budgets[instance]
        times = [one.at for one in evidence.requests if one.instance == instance]
        most = most_in_any_window(times, allowance.window_s)
        return cls(allowance.requests, most, shortest_span(times, allowance.requests + 1))


@dataclass(frozen=True, slots=True)
class Run:
    """What came of it."""

    name: str
    plan: Plan
    evidence: Evidence
    audit: Audit
    hits: tuple[Hit, ...]
    faults: tuple[FaultCount, ...]
    recoveries: Mapping[str, Recovery]
    redis_back_s: tuple[float, ...]
    memory: Growth | None
    seconds: Mapping[str, float]
    pace: Mapping[str, "Pace"]
    repeated: int
    """Calls of producers that went unanswered, and were made again."""
    withheld: int
    """Updates by id that no producer could hand over, since the record's id never became known."""
    lives: int
    """Worker processes that were started."""
    explained: Mapping[str, Mapping[str, Any]]
    """What the set-up itself says of the jobs behind breaches."""


def run(plan: Plan, make: Make, folder: Path, teller: Teller) -> Run:
    """Do it, in a folder of its own.

    Raises:
        ProcessEnded, NoRedisServer: something that is not put to the proof did not work.
    """
    with ExitStack() as stack:
        teller.step("Redis, simulated CRM and proxies")
        stage = stack.enter_context(staged(plan, folder))
        contender = make(stage)
        patience_s = plan.form.call_s + STOP_MARGIN_S
        fleet = Fleet(stage.processes, contender.command, workers=plan.options.workers, patience_s=patience_s)
        teller.step(f"{plan.options.workers} workers")
        stack.enter_context(fleet.running())
        _wait_for_workers(stage, contender, fleet)
        return _Acts(stage, contender, fleet, teller).play()


class _Acts:
    def __init__(self, stage: Stage, contender: Contender, fleet: Fleet, teller: Teller) -> None:
        self.stage, self.contender, self.fleet, self.teller = stage, contender, fleet, teller
        self.producers = Producers(stage, contender)
        many = contender.many() if stage.plan.neighbours else None
        self.neighbourhood = Neighbourhood(stage, contender, many, self.producers) if many else None
        self.recoveries = Recoveries(stage, contender)
        self.driver = Driver(stage, contender, fleet, self.recoveries)
        killer = stage.plan.killer
        self.executioner = Executioner(self.driver, killer) if killer else None

    def play(self) -> Run:
        """All acts; whatever was begun is over when it returns or fails."""
        try:
            self._beside_neighbours()
            began = time.monotonic()
            self._under_fire(began)
            loaded = time.monotonic()
            self.teller.step("every fault is lifted; waiting until nothing moves any more")
            if self.neighbourhood:
                self.neighbourhood.lift()
            self.stage.crm.lift_faults()
            for link in self.stage.links:
                link.to_redis.flow()
                if link.to_crm:
                    link.to_crm.flow()
            settled = settle(self.stage, self.contender, self.producers, self.teller.settled)
        finally:
            self._end()
        self.teller.step("stopping the workers, and the audit")
        self.fleet.stop_all()
        seconds = {"load": loaded - began, "settling": settled.seconds}
        return self._judged(settled.seen, seconds)

    def _beside_neighbours(self) -> None:
        """Calm, then neighbours: what is judged here is waiting alone, before any process is hurt."""
        if self.neighbourhood is None:
            return
        phases, count = self.stage.plan.phases, sum(one.jobs for one in self.stage.plan.neighbours)
        self.teller.step(
            f"{phases.calm_s:g} s of calm, then {phases.beside_s:g} s beside"
            f" {len(self.stage.plan.neighbours)} neighbours with {count} jobs"
        )
        self.neighbourhood.start(time.monotonic())
        while not self.neighbourhood.over:
            self.stage.crm.child.must_run()
            time.sleep(LOOK_EVERY_S)

    def _under_fire(self, began: float) -> None:
        plan = self.stage.plan
        self.teller.step(f"{len(plan.jobs)} jobs and {len(plan.faults)} faults in {plan.load_s:g} s")
        self.stage.crm.add_faults([rule.document() for rule in plan.rules])
        self.producers.start(began)
        self.recoveries.start()
        if self.executioner:
            self.executioner.start()
        self.driver.start(began)
        while self.driver.busy or time.monotonic() - began < plan.load_s:
            self.teller.load(len(plan.jobs) - self.producers.left, len(plan.jobs))
            self.stage.crm.child.must_run()
            time.sleep(LOOK_EVERY_S)
        self._faults = self.stage.crm.faults()

    def _end(self) -> None:
        self.driver.stop()
        if self.executioner:
            self.executioner.stop()
        if self.neighbourhood:
            self.neighbourhood.stop()
        self.producers.stop()
        self.recoveries.stop()

    def _judged(self, seen: Mapping[str, Any], seconds: Mapping[str, float]) -> Run:
        plan, handed = self.stage.plan, self.producers.handed
        for name, rows in (("requests", self.stage.crm.journal("request")), ("records", self.stage.crm.records())):
            # For whoever looks into a breach: the folder is kept then.
            (self.stage.folder / f"{name}.json").write_text(json.dumps(rows), "utf-8")
        evidence = collect(self.stage, self.contender, handed, seen, tuple(self.fleet.exits))
        deeds = [*self.driver.deeds, *(self.executioner.deeds if self.executioner else [])]
        found = hits(deeds, evidence.requests, evidence.jobs)
        if self.neighbourhood:
            evidence = replace(
                evidence,
                waiting=self.neighbourhood.waiting(deeds, evidence.requests),
                held_up=self.neighbourhood.held_up(by_job(found)),
                lifted_at=self.neighbourhood.lifted_at,
            )
        closed = {one["id"]: one["struck"] for one in self._faults if one["action"] == "close_on_accept"}
        judged = audit(evidence)
        names = [*(fault for fault in Fault if fault is not Fault.KILLER), *(rule.name for rule in plan.rules)]
        names += [rule.name for rule in plan.neighbours_rules if not rule.name.startswith(SPARED)]
        return Run(
            name=self.contender.name,
            plan=plan,
            evidence=evidence,
            audit=judged,
            hits=found,
            faults=tuple(counted(found, names=names, unseen=closed)),
            recoveries=self.recoveries.told(),
            redis_back_s=tuple(self.recoveries.redis_back_s),
            memory=growth(self.fleet.lives),
            seconds=seconds,
            pace={name: Pace.of(evidence, name) for name in plan.budgets},
            repeated=handed.repeated,
            withheld=self.producers.left,
            lives=len(self.fleet.lives),
            explained=self._explained(judged, evidence),
        )

    def _explained(self, judged: Audit, evidence: Evidence) -> dict[str, Mapping[str, Any]]:
        subjects = {breach.subject for breaches in judged.breaches.values() for breach in breaches[:EXPLAINED]}
        with self.stage.redis.client() as client:
            return {
                job_id: self.contender.explain(client, job_id)
                for job_id, job in evidence.jobs.items()
                if job_id in subjects or any(job.record in subject for subject in subjects)
            }


def _wait_for_workers(stage: Stage, contender: Contender, fleet: Fleet) -> None:
    """Until each of them serves: what is handed over before would only measure how long Python imports."""
    deadline = time.monotonic() + START_PATIENCE_S
    while time.monotonic() < deadline:
        with stage.redis.client() as client:
            if len(contender.serving(client)) >= stage.plan.options.workers:
                return
        if fleet.exits:
            raise ProcessEnded(fleet.exits[0])
        time.sleep(0.1)
    raise ProcessEnded(f"the workers did not come up within {START_PATIENCE_S:g} s")

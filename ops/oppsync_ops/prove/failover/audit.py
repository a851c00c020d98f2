"""What a failover may cost, and what it may not. Pure.

| check | breached by |
|---|---|
| lost | a job that nobody knows, whose enqueue the replica had; a success of which the CRM shows nothing |
| doubled | a create sent again although the replica knew of its first request, or its worker the answer; a stray |
| wrong final value | a record that does not show its newest update; not one that was written while the replica lagged |
| not ended | a job at no end; not an update whose create is forgotten |
| buried | a dead letter: every job here is good |
| never handed over | a job that the producer was never told to be taken: what was not tried proves nothing |

Excused, and counted: jobs that were acknowledged when the replica had stopped listening, and are forgotten. Without
the barrier, also creates that were begun in that time and sent again at once, when nobody alive knew of their answer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from oppsync_ops.prove.evidence import Evidence, Record, Request, Seen
from oppsync_ops.prove.planned import PlannedJob
from oppsync_ops.prove.values import without_effect
from oppsync_worker.contract.states import State

DONE: Final = frozenset({State.SUCCEEDED, State.MERGED})
TO_RECORD_S: Final = 3.0
"""How long after the promotion, or after its answer, a worker may take to record a success that it has in hand."""
CHECKS: Final = ("lost", "doubled", "wrong final value", "not ended", "buried", "never handed over", "worker exits")


@dataclass(frozen=True, slots=True)
class Failover:
    """One of them, in seconds since 1970."""

    replicated_at: float
    """Everything that the primary had acknowledged by then has reached the replica."""
    killed_at: float
    promoted_at: float


@dataclass(frozen=True, slots=True)
class FailoverEvidence:
    """What was handed over, and what was found."""

    jobs: Mapping[str, PlannedJob]
    acknowledged: Mapping[str, float]
    """When the producer was told that the job is taken."""
    failovers: tuple[Failover, ...]
    seen: Mapping[str, Seen]
    records: tuple[Record, ...]
    requests: tuple[Request, ...]
    latency_s: tuple[float, float]
    """The CRM's fastest and slowest answer: so long after its arrival a request is answered."""
    barrier: bool = False
    exits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FailoverAudit:
    """Breaches by check, and what asynchronous replication explains."""

    breaches: Mapping[str, tuple[str, ...]]
    at_risk: tuple[str, ...] = field(default=())
    """Jobs that were acknowledged while the replica lagged."""
    forgotten: tuple[str, ...] = field(default=())
    sent_again: tuple[str, ...] = field(default=())

    @property
    def total(self) -> int:
        """Breaches of all kinds."""
        return sum(map(len, self.breaches.values()))


def audit(evidence: FailoverEvidence) -> FailoverAudit:
    """Make every check."""
    judge = _Judge(evidence)
    breaches: dict[str, list[str]] = {name: [] for name in CHECKS}
    for name, says in judge.breaches():
        breaches[name].append(says)
    return FailoverAudit(
        {name: tuple(found) for name, found in breaches.items()},
        tuple(job_id for job_id in evidence.acknowledged if judge.at_risk(evidence.acknowledged[job_id])),
        tuple(judge.forgotten),
        tuple(judge.sent_again),
    )


class _Judge:
    def __init__(self, evidence: FailoverEvidence) -> None:
        self._evidence = evidence
        self._ids: dict[str, list[int]] = {}
        for record in evidence.records:
            if record.made_by:
                self._ids.setdefault(record.made_by, []).append(record.opportunity_id)
        self.forgotten: list[str] = []
        self.sent_again: list[str] = []

    def at_risk(self, at: float) -> bool:
        """Whether what happened then, the replica may not have heard of.

        What the primary answered just before it died may be read after that.
        """
        return any(one.replicated_at <= at <= one.promoted_at for one in self._evidence.failovers)

    def breaches(self) -> Iterator[tuple[str, str]]:
        for job_id in self._evidence.acknowledged:
            yield from self._job(job_id)
        for job_id, ids in self._ids.items():
            if len(ids) > 1:
                yield from self._doubled(job_id, len(ids))
        evidence = self._evidence
        for record in evidence.records:
            job = evidence.jobs.get(record.made_by or "")
            if job is None or not job.creates:
                yield "doubled", f"record {record.opportunity_id}: made by {record.made_by}, unplanned"
        whole = Evidence(jobs=evidence.jobs, seen=evidence.seen, records=evidence.records, requests=(), budgets={})
        yield from (("lost", f"{job_id}: {says}") for job_id, says in without_effect(whole))
        for job_id in evidence.jobs:
            if job_id not in evidence.acknowledged:
                yield "never handed over", job_id
        yield from (("wrong final value", says) for says in self._wrong_values())
        yield from (("worker exits", says) for says in self._evidence.exits)

    def _job(self, job_id: str) -> Iterator[tuple[str, str]]:
        evidence, job = self._evidence, self._evidence.jobs[job_id]
        state = self._state(job_id)
        if state is State.UNKNOWN:
            if not self.at_risk(evidence.acknowledged[job_id]):
                yield "lost", f"{job_id}: nobody knows it, and the replica had it"
            else:
                self.forgotten.append(job_id)
        elif state is State.SUCCEEDED and job.creates and job_id not in self._ids:
            yield "lost", f"{job_id}: succeeded, but the CRM has no such record"
        elif state is State.SUCCEEDED and job.creates and evidence.seen[job_id].opportunity_id not in self._ids[job_id]:
            made = evidence.seen[job_id].opportunity_id
            yield "lost", f"{job_id}: succeeded as record {made}, which is not the one it made"
        elif state in {State.DEAD, State.DISCARDED, State.EXPIRED}:
            yield "buried", f"{job_id}: {state} as {evidence.seen[job_id].cause}: {evidence.seen[job_id].detail}"
        elif not state.is_terminal and self._state(job.first_id) is not State.UNKNOWN:
            yield "not ended", f"{job_id}: {state}"

    def _doubled(self, job_id: str, times: int) -> Iterator[tuple[str, str]]:
        evidence = self._evidence
        sent = sorted(one.at for one in evidence.requests if one.job_id == job_id and one.method == "POST")
        for earlier, later in pairwise(sent):
            if why := self._known(earlier, later):
                yield "doubled", f"{job_id}: is in the CRM {times} times, and {why}"
                return
        self.sent_again.append(job_id)

    def _known(self, earlier: float, later: float) -> str | None:
        """Why nobody should have sent it again; None where nobody could know of the earlier request."""
        if self._evidence.barrier:
            return "no create is sent before a replica knows of it"
        blind = [one for one in self._evidence.failovers if one.replicated_at <= earlier <= one.promoted_at]
        if not blind or later < blind[0].promoted_at:
            return "the ledger knew of its first request"
        fastest_s, slowest_s = self._evidence.latency_s
        heard_after = earlier + fastest_s > blind[0].killed_at
        if heard_after and later > max(earlier + slowest_s, blind[0].promoted_at) + TO_RECORD_S:
            return "its worker had the answer, and time to record it"
        return None

    def _wrong_values(self) -> Iterator[str]:
        by_record: dict[str, list[PlannedJob]] = {}
        for job_id in self._evidence.acknowledged:
            job = self._evidence.jobs[job_id]
            by_record.setdefault(job.record, []).append(job)
        made = {record.made_by: record for record in self._evidence.records}
        # That an update was carried out then may be forgotten, and it is sent once more, after a newer one.
        written_blind = {found.record for one in self._evidence.requests if (found := self._blind_write(one))}
        for name, jobs in by_record.items():
            record = made.get(jobs[0].first_id)
            if name in written_blind or record is None or len(self._ids.get(jobs[0].first_id, ())) != 1:
                continue
            if any(self._state(job.job_id) not in DONE for job in jobs):
                continue
            for part, shown in sorted(record.versions.items()):
                newest = max((job.version for job in jobs if part in job.changes), default=0)
                if shown != newest:
                    yield f"{name}: its {part} shows version {shown} instead of {newest}"

    def _blind_write(self, request: Request) -> PlannedJob | None:
        """The job that a request was for, when the replica did not hear of what became of it."""
        blind = any(one.replicated_at <= request.at <= one.promoted_at for one in self._evidence.failovers)
        return self._evidence.jobs.get(request.job_id or "") if blind else None

    def _state(self, job_id: str) -> State:
        seen = self._evidence.seen.get(job_id)
        return seen.state if seen else State.UNKNOWN

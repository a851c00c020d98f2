"""A producer, a worker and an operator of the ledger's scripts, one step at a time."""

import itertools
import time
from collections.abc import Iterable
from typing import Any

import redis

from oppsync import CreateOpportunity, UpdateOpportunity
from oppsync_worker.contract.fields import milliseconds
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.contract.wire import encode, read_message
from oppsync_worker.ledger import claims, ends, enqueuing, keys, looking, operating
from oppsync_worker.ledger.begin import Answer, Go, Soon, begin, begun
from oppsync_worker.ledger.promoting import Look, promoted
from oppsync_worker.ledger.scripts import Call, run
from stage import claiming, eventually, time_passes, told

LANES = ["opportunities.interactive", "opportunities.bulk"]
ATTEMPT = ends.Attempt(at="", number=1, duration_ms=1, status=503, error="Unavailable", message="words")
A_MINUTE_MS = 60_000
TTL_S = 86_400


def deal(**given: Any) -> CreateOpportunity:
    """A create."""
    return CreateOpportunity.parse({"instance": "acme", "funnel_id": 7, "title": "T", "crm_column": 130, **given})


def change(record: int | str, **given: Any) -> UpdateOpportunity:
    """An update of a record, named by SprintHub's id or by its create's reference."""
    name = {"opportunity_id": record} if isinstance(record, int) else {"external_ref": record}
    return UpdateOpportunity.parse({"instance": "acme", "funnel_id": 7, "title": "U", **name, **given})


_AS_BEFORE = """
local id, kind, instance, lane, ref, target, deadline = unpack(ARGV)
local key = 'oppsync:job:' .. id
local time = redis.call('TIME')
redis.call('HSET', key, 'state', 'queued', 'kind', kind, 'instance', instance, 'lane', lane, 'at',
  string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
if ref ~= '' then redis.call('HSET', key, 'ref', ref) end
if target ~= '' then redis.call('HSET', key, 'target', target) end
if deadline ~= '0' then redis.call('HSET', key, 'deadline', deadline) end
if kind == 'opportunities.create' then
  if ref ~= '' then redis.call('HSET', 'oppsync:making:' .. instance, ref, id) end
else
  local made = target ~= '' and target or redis.call('HGET', 'oppsync:refs:' .. instance, ref)
  local record = made and 'id:' .. made or 'ref:' .. ref
  local number = redis.call('INCR', 'oppsync:order')
  redis.call('HSET', key, 'record', record, 'number', number)
  redis.call('ZADD', 'oppsync:record:' .. instance .. ':' .. record, number, id)
end
redis.call('LPUSH', 'opportunities.' .. lane, ARGV[8])
"""


def push_as_before(client: redis.Redis, job: AnyJob) -> None:
    """What enqueueing wrote in the version before: an entry, and a message in the lane without a slot."""
    names = (job.job_id, job.kind.value, job.instance, job.lane.value, job.external_ref or "", str(job.target or ""))
    client.eval(_AS_BEFORE, 0, *names, milliseconds(job.deadline), encode(job))


class Desk:
    """Everybody who uses the ledger, in one hand."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.jobs: dict[str, AnyJob] = {}
        self.questions = itertools.count(1)
        self.run(told("acme"))

    def run(self, call: Call) -> Any:
        """Run a script."""
        return run(self.client, call)

    # A producer.

    def enqueue(self, *jobs: AnyJob) -> None:
        """Hand jobs over, one after the other."""
        for job in jobs:
            self.jobs[job.job_id] = job
            self.run(enqueuing.enqueue(job))

    def push(self, *jobs: AnyJob) -> None:
        """As another Celery application does: no entry in the ledger."""
        for job in jobs:
            self.jobs[job.job_id] = job
            self.client.lpush(job.lane.queue, encode(job).replace('"origin":"oppsync"', '"origin":"gen1@elsewhere"'))

    # A worker.

    def claim(self, most: int = 100, *, worker: str = "w") -> list[tuple[ends.Hand, AnyJob]]:
        """Take what is there, in order; what somebody else pushed is filed first, and comes back with its slot."""
        call = claiming(LANES, most=most, lease_ms=A_MINUTE_MS, worker=worker)
        taken, _ = claims.claimed(self.run(call))
        if not taken:
            call = claiming(LANES, most=most, lease_ms=A_MINUTE_MS, worker=worker)
            taken, _ = claims.claimed(self.run(call))
        return [(ends.Hand(one.tag, (job := read_message(one.message)).job_id, TTL_S), job) for one in taken]

    def one(self) -> tuple[ends.Hand, AnyJob]:
        """Take the next message, as soon as its line is looked at."""
        taken = self.claim(1)
        if not taken:
            self.line_moves()
            taken = self.claim(1)
        (first,) = taken
        return first

    def a_moment_passes(self) -> None:
        """Until Redis' clock, which the ledger reads in whole milliseconds, shows another one."""
        before, patience = int(self.now_s() * 1000), time.monotonic() + 5
        while int(self.now_s() * 1000) <= before:
            assert time.monotonic() < patience, "Redis' clock stands still"

    def begin(self, hand: ends.Hand, job: AnyJob) -> Answer:
        """Ask to send, and wait for a slot that is near."""
        while True:
            answer = begun(self.run(begin(hand, job, horizon_ms=250, number=next(self.questions))))
            if not isinstance(answer, Soon):
                return answer
            time.sleep(answer.delay_ms / 1000)

    def send_next(self) -> tuple[ends.Hand, AnyJob, Go]:
        """Take messages until one may be sent."""
        while True:
            hand, job = self.one()
            answer = self.begin(hand, job)
            if isinstance(answer, Go):
                return hand, job, answer

    def succeed(self, hand: ends.Hand, job: AnyJob, *, opportunity_id: int = 5) -> None:
        """The CRM has it."""
        wrote = () if isinstance(job, CreateOpportunity) else job.written()
        effects = ends.Effects(answers=True, wrote=wrote)
        marker = ends.Marker(7, lands=True) if isinstance(job, CreateOpportunity) else None
        self.run(ends.succeed(hand, opportunity_id=opportunity_id, result={}, effects=effects, marker=marker))

    def fail(self, hand: ends.Hand, job: AnyJob, *, delay_ms: int = 0) -> None:
        """The CRM did not answer: try again."""
        effects = ends.Effects(wrote=job.written(), unsure=True)
        self.run(ends.reschedule(hand, delay_ms=delay_ms, attempt=ATTEMPT, effects=effects))

    def bury(self, hand: ends.Hand, cause: Cause = Cause.REJECTED) -> None:
        """The CRM will not have it."""
        self.run(ends.bury(hand, cause=cause, detail="words", attempt=ATTEMPT))

    def work_off(self) -> list[AnyJob]:
        """Send whatever may be sent, one at a time, until nothing is left; in the order of sending."""
        sent = []
        while True:
            self.run(time_passes())
            taken = self.claim(1)
            if not taken:
                return sent
            (hand, job) = taken[0]
            if isinstance(self.begin(hand, job), Go):
                sent.append(job)
                self.succeed(hand, job)

    # A worker that looks into doubts.

    def looks(self, *, takes: int = 10) -> tuple[Look, ...]:
        """Take on look-ups that are due."""
        return promoted(self.run(time_passes(takes=takes))).looks

    def look(self) -> Look:
        """Take on the one look-up that is due, as soon as it has a slot."""
        (look,) = eventually(self.looks)
        return look

    def leave(self, look: Look) -> looking.Leave:
        """Ask whether it may be sent."""
        return looking.leave(self.run(looking.may_look(look, horizon_ms=250)))

    # Time and chance.

    def silence(self, *, crashes: int = 3) -> list[Any]:
        """All workers fall silent for longer than a lease."""
        for tag in self.client.zrange(keys.LEASES, 0, -1):
            self.client.zadd(keys.LEASES, {tag: 1})
        return list(self.run(claims.restore(most=100, crashes=crashes, ttl_s=TTL_S)))

    def pass_time(self) -> None:
        """Everything that waits for a time is due."""
        for place in (keys.SCHEDULE, keys.SLOTS, f"{keys.PREFIX}probes"):
            for member in self.client.zrange(place, 0, -1):
                self.client.zadd(place, {member: 1})
        self.run(time_passes())

    def line_moves(self) -> None:
        """Whoever waits for a slot is looked at, and nothing else happens."""
        for instance in self.client.zrange(keys.SLOTS, 0, -1):
            self.client.zadd(keys.SLOTS, {instance: 1})
        self.run(time_passes())

    def now_s(self) -> float:
        """Redis' clock."""
        seconds, microseconds = self.client.time()
        return float(seconds) + float(microseconds) / 1e6

    def settle_down(self) -> None:
        """No update can be under way in the CRM any more."""
        for key in self.client.scan_iter(f"{keys.PREFIX}unsure:*"):
            self.client.delete(key)

    # An operator.

    def replay(self, job: AnyJob, *, message: str | None = None) -> str:
        """Replay a dead letter."""
        deadline = read_message(message).deadline if message else None
        call = operating.replay(job.job_id, by="me", message=message, deadline=deadline, writes=job.written())
        return operating.word(self.run(call))

    # Looking.

    def state(self, job: AnyJob) -> str:
        """Where a job is."""
        return self.field(job, "state")

    def states(self, jobs: Iterable[AnyJob]) -> list[str]:
        """Where jobs are."""
        return [self.state(job) for job in jobs]

    def field(self, job: AnyJob, name: str) -> str:
        """A field of the job's entry; empty when there is none."""
        return (self.client.hget(keys.job(job.job_id), name) or b"").decode()


def titles(jobs: Iterable[AnyJob]) -> list[str | None]:
    """What tells updates apart."""
    return [job.title for job in jobs]


__all__ = ["ATTEMPT", "LANES", "Desk", "State", "change", "deal", "titles"]

"""What a job costs Redis: a change that makes each job dearer is noticed, though all that it does is right.

Counted are the commands that run inside of scripts, those for taking back included. A count is the same on every
machine; time is not, and follows it: about two thirds of a script's time are its commands.
"""

from collections.abc import Callable
from itertools import count

import redis

from integration.ledger.desk import A_MINUTE_MS, LANES, TTL_S, deal
from oppsync_worker.contract.wire import read_message
from oppsync_worker.ledger import claims, ends, enqueuing
from oppsync_worker.ledger.begin import Go, begin, begun
from oppsync_worker.ledger.recalling import as_sent
from oppsync_worker.ledger.scripts import Call, run

JOBS = 20
MOST = {"enqueue": 5, "claim": 12, "begin": 8, "settle": 31}
"""Commands of one run in a backlog, with one job to a claim. Written down as they are: raise one only for a reason."""


def commands(client: redis.Redis, act: Callable[[], object]) -> int:
    """How many commands Redis has run meanwhile inside of scripts."""

    def counted() -> int:
        told = client.info("commandstats")
        outside = ("cmdstat_eval", "cmdstat_evalsha", "cmdstat_info")
        return sum(one["calls"] for name, one in told.items() if name not in outside)

    before = counted()
    act()
    return counted() - before


def test_a_job_in_a_backlog_costs_as_many_commands_as_before(ledger: redis.Redis) -> None:
    """Of creates that wait for their slot, are sent once and succeed: what nearly all jobs do."""
    budget = {"requests": "0", "window_ms": "60000", "concurrency": "1", "call_ms": "60000"}
    ledger.hset("oppsync:budget:acme", mapping=budget)  # type: ignore[arg-type]
    # The first has the only slot, the second waits for it: from then on they are in a backlog, for as long as it lasts.
    jobs = [deal(title=f"T{number}") for number in range(JOBS)]
    for job in jobs[:2]:
        run(ledger, enqueuing.enqueue(job))
    ledger.zadd("oppsync:slots", {"acme": 9e12})
    spent = dict.fromkeys(MOST, 0)

    def measured(call: Call) -> object:
        answers: list[object] = []
        spent[call.script] = max(spent[call.script], commands(ledger, lambda: answers.append(run(ledger, call))))
        return answers[0]

    for job in jobs[2:]:
        measured(enqueuing.enqueue(job))
    for number in count(1):
        taken, _ = claims.claimed(
            measured(claims.claim(LANES, most=1, lease_ms=A_MINUTE_MS, worker="w", question=str(number)))
        )
        if not taken:
            break
        envelope = read_message(taken[0].message)
        job = next(one for one in jobs if one.job_id == envelope.job_id)
        hand = ends.Hand(taken[0].tag, job.job_id, TTL_S)
        question = begin(hand, job, horizon_ms=250, number=number, marker_field="oppsync", own=True)
        assert isinstance(begun(measured(question)), Go)
        attempt = ends.Attempt(at="", number=1, duration_ms=1, status=201, error=None, message=None)
        marker = ends.Marker(job.funnel_id, lands=True)
        effects = ends.Effects(answers=True)
        end = ends.succeed(hand, opportunity_id=number, result={}, attempt=attempt, effects=effects, marker=marker)
        assert measured(as_sent(end)) == b"succeeded"

    assert number == JOBS + 1
    assert spent == MOST

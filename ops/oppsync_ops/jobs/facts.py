"""Everything the ledger knows of one job, and of what it waits for. Reads only; the job may move while we look."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis import Redis

from oppsync_ops.jobs.entries import Entry, read, text
from oppsync_ops.jobs.moments import now_ms
from oppsync_ops.overview.budgets import LiveBudget, read_budgets
from oppsync_ops.overview.holds import Hold, read_hold
from oppsync_worker.contract.names import Lane
from oppsync_worker.contract.outcomes import Outcome
from oppsync_worker.contract.states import State
from oppsync_worker.ledger import keys
from oppsync_worker.ledger.reading import ask_outcomes, outcomes

_MORE = ("token", "sent_at", "slot_at", "version", "crashes", "key", "record", "doubt", "refused", "absent")


@dataclass(frozen=True, slots=True)
class Facts:
    """One look at one job. Times are milliseconds of Redis' clock."""

    now: int
    outcome: Outcome
    entry: Entry
    """Fields of the ledger's entry that an outcome has no room for."""
    history: tuple[Mapping[str, Any], ...]
    lane_length: int = 0
    ahead: int | None = None
    """Jobs before it in its instance's line, where it waits for a slot."""
    budget: LiveBudget | None = None
    hold: Hold | None = None
    behind: str | None = None
    """The job that it waits for: an earlier update of its record, or the create that is to make the record."""
    behind_state: State | None = None
    next_look: int | None = None
    """When workers look for its record in the CRM, while it is in doubt."""
    lease_until: int | None = None
    worker: str | None = None
    forgotten_at: int | None = None
    """When the ledger forgets the job; only ended jobs are ever forgotten."""


def look(client: Redis, job_id: str) -> Facts:
    """All facts about a job; its outcome's state is `unknown` when there is none."""
    now = now_ms(client)
    outcome = outcomes([job_id], ask_outcomes(client.pipeline(transaction=False), [job_id]).execute())[0]
    entry = read(client, [job_id], _MORE)[0]
    more: dict[str, Any] = {}
    match outcome.state:
        case State.QUEUED:
            lane = Lane(outcome.lane) if outcome.lane in set(Lane) else Lane.BULK
            more["lane_length"] = client.llen(lane.queue)
        case State.SENDING:
            tag = entry.get("token", "")
            worker: Any = client.hget(f"{keys.PREFIX}claim:{tag}", "worker")
            more["worker"] = text(worker) if worker else None
            more["lease_until"] = _whole(client.zscore(keys.LEASES, tag))
        case State.WAITING if outcome.instance:
            more["ahead"] = client.zrank(keys.waiting(outcome.instance), job_id)
            more["budget"] = read_budgets(client, [outcome.instance], now=now)[0]
            more["hold"] = read_hold(client, outcome.instance)
        case State.BLOCKED if outcome.instance:
            more["behind"], more["behind_state"] = _behind(client, outcome, entry.get("record", ""))
        case State.IN_DOUBT if entry.get("doubt") != "person":
            more["next_look"] = _whole(client.zscore(keys.PROBES, job_id))
        case State.HELD if outcome.instance:
            more["hold"] = read_hold(client, outcome.instance)
        case _ if outcome.state.is_terminal:
            left: Any = client.pttl(keys.job(job_id))
            more["forgotten_at"] = now + left if left > 0 else None
    return Facts(now, outcome, entry, history(client, job_id), **more)


def history(client: Redis, job_id: str) -> tuple[Mapping[str, Any], ...]:
    """What happened to a job, oldest first: attempts and what people did. A line that is no JSON object is left out."""
    lines: Any = client.lrange(keys.attempts(job_id), 0, -1)
    success: Any = client.hget(keys.job(job_id), "success")
    found = []
    for line in [*lines, *([success] if success else [])]:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            found.append(event)
    return tuple(found)


def _behind(client: Redis, outcome: Outcome, record: str) -> tuple[str | None, State | None]:
    instance = outcome.instance or ""
    if record.startswith("ref:"):
        made_by: Any = client.hget(keys.making(instance), record.removeprefix("ref:"))
        behind = text(made_by) if made_by else None
    else:
        first: Any = client.zrange(keys.record(instance, record), 0, 0)
        behind = text(first[0]) if first and text(first[0]) != outcome.job_id else None
    if behind is None:
        return None, None
    (entry,) = read(client, [behind], ["state"])
    return behind, State(entry.get("state", State.UNKNOWN))


def _whole(score: Any) -> int | None:
    return None if score is None else int(score)

"""A job's story for a person and for a program."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from oppsync_ops.jobs.facts import Facts
from oppsync_ops.jobs.moments import around, iso, moment
from oppsync_ops.jobs.next_step import next_step


def as_dict(facts: Facts) -> dict[str, Any]:
    """Plain JSON values: the outcome, and why it is as it is."""
    step = next_step(facts)
    return {
        **facts.outcome.as_dict(),
        "next": {"text": step.text, "at": iso(step.at)},
        "refusals": int(facts.entry.get("refused") or 0),
        "absences": int(facts.entry.get("absent") or 0),
        "history": list(facts.history),
        "forgotten_at": iso(moment(facts.forgotten_at)),
    }


def as_facts(facts: Facts) -> dict[str, object]:
    """Names and values, in the order in which a person asks for them."""
    outcome, step = facts.outcome, next_step(facts)
    return {
        "job": outcome.job_id,
        "state": outcome.state.value,
        "since": around(outcome.since, facts.now),
        "why": ": ".join(filter(None, [outcome.cause, outcome.detail])),
        "next": step.text,
        "when": around(step.at, facts.now),
        "points_to": outcome.points_to,
        "opportunity": outcome.opportunity_id,
        "kind": outcome.kind,
        "instance": outcome.instance,
        "lane": outcome.lane,
        "external_ref": outcome.external_ref,
        "enqueued": around(outcome.enqueued_at, facts.now),
        "attempts": outcome.attempts,
        "replays": outcome.replays or None,
        "refusals": facts.entry.get("refused"),
        "proved_absent": facts.entry.get("absent"),
        "buried_by_version": facts.entry.get("version"),
        "forgotten": around(moment(facts.forgotten_at), facts.now),
    }


def happenings(history: tuple[Mapping[str, Any], ...]) -> list[str]:
    """One line per attempt or event."""
    return [f"{_time(event.get('at'))}  {_happening(event)}" for event in history]


def _happening(event: Mapping[str, Any]) -> str:
    if event.get("event") == "look_up":
        return _look_up(event)
    if event.get("event") == "recalled":
        return "Redis had forgotten that it was sent; what became of it was recorded all the same"
    if event.get("event") == "surplus":
        made = f"made record {event['opportunity_id']}" if event.get("opportunity_id") else "may have made a record"
        return f"a second request of it {made}, which is one too many: look at it in the CRM"
    if "event" in event:
        return f"{event['event']} by {event.get('by') or 'somebody'}"
    number = event.get("attempt")
    what = [f"attempt {number}" if number else "worker lost"]
    if event.get("status"):
        what.append(f"HTTP {event['status']}")
    if event.get("ms") is not None:
        what.append(f"{event['ms']} ms")
    if event.get("error"):
        what.append(str(event["error"]))
    if event.get("message"):
        what.append(str(event["message"]))
    if number and not event.get("error"):
        what.append("succeeded")
    return ", ".join(what)


def _look_up(event: Mapping[str, Any]) -> str:
    where = f"looked in the {event['list']}'s list" if event.get("list") else "looked for it"
    what = [f"{where}: {event.get('saw')}"]
    if event.get("rows"):
        what.append(f"{event['rows']} records")
    if event.get("ms") is not None:
        what.append(f"{event['ms']} ms")
    if event.get("message"):
        what.append(str(event["message"]))
    return ", ".join(what)


def _time(text: object) -> str:
    try:
        return f"{datetime.fromisoformat(str(text)):%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return "an unknown time"

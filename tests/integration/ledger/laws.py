"""What must be true of the ledger at every moment, whatever has happened."""

import json
from collections.abc import Container, Iterable, Mapping

from integration.ledger.snapshot import PLACES, Snapshot
from oppsync_worker.contract.jobs import AnyJob, UpdateOpportunity

ENDED = {"succeeded", "discarded", "merged", "expired"}
UNFINISHED = {"queued", "sending", "scheduled", "waiting", "held", "blocked"}
LONG_AGO = 1e9
"""What the state machine puts for a time that is over is earlier than this."""
BEGUN = {"sending", "blocked", "succeeded"}


def every_job_is_in_exactly_one_place(seen: Snapshot, known: Mapping[str, AnyJob], copied: Container[str]) -> None:
    """The one that its state names; and its message is there, once."""
    for job_id, entry in seen.jobs():
        state, instance = entry.get("state", "no entry"), entry.get("instance", "")
        place = f"{state}:{instance}" if state in {"waiting", "held"} else PLACES.get(state)
        assert seen.places[job_id] == ([place] if place else []), f"{job_id} is {state}"
        assert bool(entry.get("message")) == bool(place), f"{job_id} is {state}; has it a message there?"
        assert (seen.ttls[f"job:{job_id}"] > 0) == (state in ENDED), f"{job_id} is {state}: is it forgotten in time?"
        elsewhere = seen.messages[job_id]
        if state in {"queued", "no entry"}:
            assert elsewhere, f"{job_id} is {state}, and its message is nowhere"
        if state == "sending":
            assert f"claim:{entry['token']}" in elsewhere, f"{job_id} is sent by nobody"
        if job_id in known and job_id not in copied:
            travelling = state in {"queued", "sending", "no entry"}
            assert len(elsewhere) == travelling, f"{job_id} is {state}, with messages in {elsewhere}"


def what_names_a_job_is_filed(seen: Snapshot, known: Mapping[str, AnyJob]) -> None:
    """Or a twin would be created, and updates would wait for ever."""
    succeeded: dict[tuple[str, str], str] = {}
    for job_id, entry in seen.jobs():
        job = known.get(job_id)
        # What another application pushed is filed when it is claimed; if that fails, when a worker has read it.
        read = "attempts" in entry or ("foreign" not in entry and "kind" in entry)
        begun_before = entry.get("state") in BEGUN or (entry.get("state") in {"scheduled", "waiting"} and read)
        if job is None or not begun_before:
            continue
        assert entry.get("ref") == job.external_ref, job_id
        # One that found its key taken by another request stands under none: sent back, it finds it taken again, or has
        # it by the time it is sent.
        found_taken = "replays" in entry and entry["state"] not in {"sending", "succeeded"}
        assert entry.get("key") == job.idempotency_key or found_taken, job_id
        assert "points_to" not in entry, f"{job_id} is {entry['state']}, and points to {entry['points_to']}"
        if job.idempotency_key and entry["state"] == "succeeded":
            other = succeeded.setdefault((job.instance, job.idempotency_key), job_id)
            assert other == job_id, f"{other} and {job_id} succeeded under one idempotency key"


def whoever_waits_for_a_job_is_told_its_end(seen: Snapshot) -> None:
    """When it has ended, and not before; a dead letter's result stays for as long as the letter."""
    for job_id, entry in seen.jobs():
        if job_id.startswith("raw-"):
            continue
        name, state = f"celery-task-meta-{job_id}", entry.get("state")
        document = seen.of_key(name).get("value")
        if state not in {*ENDED, "dead"}:
            assert document is None, f"{job_id} is {state}, and told to have ended: {document}"
            continue
        assert document, f"{job_id} is {state}, and nobody is told"
        assert (json.loads(document)["status"] == "SUCCESS") == (state == "succeeded"), (
            f"{job_id} is {state}: {document}"
        )
        assert (seen.ttls[name] > 0) == (state in ENDED), f"{job_id} is {state}: is its result forgotten in time?"


def all_of_an_ended_job_is_forgotten_in_time(seen: Snapshot) -> None:
    """And nothing of any other."""
    for job_id, entry in seen.jobs():
        ended = entry.get("state") in ENDED
        history = f"attempts:{job_id}"
        if history in seen.ttls:
            assert (seen.ttls[history] > 0) == ended, f"{job_id} is {entry.get('state')}: how long is its history kept?"
        key = f"idem:{entry.get('instance')}:{entry.get('key')}"
        if entry.get("key") and seen.of_key(key).get("value") == job_id:
            assert (seen.ttls[key] > 0) == ended, f"{job_id} is {entry.get('state')}: how long is its key kept?"
    for _, members in seen.named("making:"):
        for ref, job_id in members.items():
            assert seen.job(job_id).get("state") not in ENDED, f"{job_id} has ended, and is to make {ref}"


def nobody_is_first_and_blocked(seen: Snapshot) -> None:
    """Nothing would ever wake it; and whoever is unfinished stands in its record's line."""
    for line, members in seen.named("record:"):
        first = min(members, key=lambda job_id: (float(members[job_id]), job_id))
        if ":id:" in line:
            assert seen.job(first).get("state") != "blocked", f"{first} is the first of {line}, and blocked"
    for job_id, entry in seen.jobs():
        if "record" in entry and entry.get("state") in UNFINISHED:
            line = f"record:{entry['instance']}:{entry['record']}"
            assert job_id in seen.of_key(line), f"{job_id} is {entry['state']} and stands in no line"


def updates_stand_in_the_line_of_their_record(seen: Snapshot) -> None:
    """Unfinished ones do, once; the first of a line is never blocked; at most one is being sent."""
    standing: dict[str, str] = {}
    for line, members in seen.named("record:"):
        instance, _, record = line.partition(":")
        for job_id in members:
            assert standing.setdefault(job_id, line) == line, f"{job_id} stands in two lines"
            entry = seen.job(job_id)
            assert (entry.get("instance"), entry.get("record")) == (instance, record), f"{job_id} stands in {line}"
            waits = entry["state"] == "dead" and seen.of_key(f"budget:{instance}").get("after_dead") == "wait"
            assert entry["state"] in UNFINISHED or waits, f"{job_id} is {entry['state']} and stands in {line}"
        sending = [job_id for job_id in members if seen.job(job_id)["state"] == "sending"]
        first = min(members, key=lambda job_id: float(members[job_id]))
        assert len(sending) <= 1, f"{sending} are sent at once"
        if sending:
            assert sending == [first], f"{sending[0]} is sent before {first}"
        if record.startswith("id:"):
            assert seen.job(first)["state"] != "blocked", f"{first} is the first of {line}, and blocked"
    for job_id, entry in seen.jobs():
        if entry.get("kind") == "opportunities.update" and entry["state"] == "blocked":
            assert job_id in standing, f"{job_id} is blocked, and behind nobody"
        if "record" in entry and entry["state"] in UNFINISHED:
            assert job_id in standing, f"{job_id} is {entry['state']} and stands in no line"


def letters_are_remembered_while_they_can_be_replayed(seen: Snapshot) -> None:
    """And what was written since, only that long."""
    letters = dict(seen.named("letters:"))
    for line, members in letters.items():
        for job_id in members:
            assert seen.job(job_id).get("state") not in ENDED, f"{job_id} has ended, and stands in letters:{line}"
    for line, _ in seen.named("newer:"):
        assert letters.get(line), f"newer:{line} is of no use to anybody"
    for job_id, entry in seen.jobs():
        if entry.get("state") == "dead" and "record" in entry:
            assert job_id in letters.get(f"{entry['instance']}:{entry['record']}", {}), f"{job_id} is forgotten"


def doubts_are_looked_into(seen: Snapshot) -> None:
    """Or are a person's; and only doubts are."""
    probes, granted = seen.of_key("probes"), seen.of_key("granted")
    looking = {job_id for _, members in seen.named("looking:") for job_id in members}
    for job_id, entry in seen.jobs():
        if entry.get("state") == "in_doubt":
            assert (job_id in probes) != (entry.get("doubt") == "person"), (
                f"nobody looks for {job_id}, or somebody does"
            )
        else:
            assert job_id not in probes, f"{job_id} is {entry.get('state')}, and looked for"
            assert job_id not in looking, f"{job_id} is {entry.get('state')}, and wants a look-up"
    assert not looking & set(granted), "a look-up that has a slot wants another"


def deadlines_are_watched(seen: Snapshot) -> None:
    """Of every job that waits for something."""
    expiring = seen.of_key("expiring")
    for job_id, entry in seen.jobs():
        if entry.get("deadline") and entry["state"] in {"scheduled", "waiting", "held", "blocked"}:
            assert job_id in expiring, f"{job_id} is {entry['state']} beyond its deadline"


def lanes_hold_only_what_can_be_sent_now(seen: Snapshot, unseen: Container[str]) -> None:
    """A job of ours has a slot there; without one is only what a worker has not looked at yet."""
    for job_id, entry in seen.jobs():
        if entry.get("state") == "queued" and "slot_at" not in entry:
            assert job_id in unseen, f"{job_id} is queued, and has no slot"


def interactive_updates_wait_for_nobody_in_bulk(seen: Snapshot) -> None:
    """Whoever they wait for has inherited their lane."""
    for line, members in seen.named("record:"):
        instance, _, record = line.partition(":")
        entries = map(seen.job, members)
        if any(entry.get("state") == "queued" and "slot_at" not in entry for entry in entries):
            continue  # of the version before, and not looked at yet
        lanes = [seen.job(job_id).get("lane") for job_id in sorted(members, key=lambda one: float(members[one]))]
        urgent = [number for number, lane in enumerate(lanes) if lane == "interactive"]
        if not urgent:
            continue
        assert "bulk" not in lanes[: urgent[-1]], f"{line}: an interactive update waits behind a bulk one: {lanes}"
        create = (
            seen.of_key(f"making:{instance}").get(record.removeprefix("ref:")) if record.startswith("ref:") else None
        )
        maker = seen.job(create) if create else {}
        if maker and (maker["state"] != "queued" or "slot_at" in maker):
            assert maker["lane"] == "interactive", f"{line} waits for {create} in the bulk lane"


def calls_are_counted_once(seen: Snapshot) -> None:
    """For their instance, and for all instances together."""
    # Those whose time is over are given up when somebody wants their places.
    places = [
        member for _, members in seen.named("inflight:") for member, till in members.items() if float(till) > LONG_AGO
    ]
    calls = [member for member, till in seen.of_key("calls").items() if float(till) > LONG_AGO]
    assert sorted(places) == sorted(calls), f"{places} have places in flight, and {calls} count"


def leases_and_slots_belong_to_somebody(seen: Snapshot, caps: Mapping[str, int], looked_for: Container[str]) -> None:
    """No claim without a lease, no place in flight without a call, no line that nobody looks at."""
    tags = {tag for tag, _ in seen.named("claim:")}
    assert tags == set(seen.of_key("leases"))
    for instance, cap in caps.items():
        assert len(seen.of_key(f"inflight:{instance}")) <= cap
    places_in_flight_are_for_calls(seen, caps, looked_for)


def looked_for_by(member: str) -> str:
    """The job that a place in flight is for: its own, or that of a look-up."""
    return member.split("/", 2)[2] if member.startswith("look/") else member


def places_in_flight_are_for_calls(seen: Snapshot, instances: Iterable[str], looked_for: Container[str] = ()) -> None:
    """Those under way, and those that may begin; and a line is looked at as long as anybody waits in it."""
    for instance in instances:
        for member in seen.of_key(f"inflight:{instance}"):
            job_id = looked_for_by(member)
            if job_id != member:
                # One that is lost keeps its place until its time is over.
                waits = job_id in seen.of_key("granted")
                assert waits or job_id in looked_for, f"{member} keeps a place for no look-up"
                continue
            entry = seen.job(job_id)
            granted = entry["state"] == "queued" and "slot_at" in entry
            assert granted or entry["state"] == "sending", f"{job_id} keeps a place in flight, but is {entry}"
        wanted = seen.of_key(f"waiting:{instance}") or seen.of_key(f"looking:{instance}")
        if wanted and not seen.of_key(f"hold:{instance}"):
            assert instance in seen.of_key("slots"), f"nobody looks at the line of {instance}"


def a_trial_is_under_way(seen: Snapshot, looked_for: Iterable[str]) -> None:
    """Or everybody would wait for what nobody tries."""
    for instance, budget in seen.named("budget:"):
        trial = budget.get("trial")
        if trial is None or looked_for_by(trial) in {*looked_for, *seen.of_key("granted")}:
            continue
        entry = seen.job(trial)
        granted = entry.get("state") == "queued" and "slot_at" in entry
        assert granted or entry.get("state") == "sending", f"{trial} is {instance}'s trial, but is {entry.get('state')}"


def nothing_that_is_resolved_is_blocked(seen: Snapshot) -> None:
    """An update does not wait for a record that is known."""
    for job_id in seen.of_key("blocked"):
        entry = seen.job(job_id)
        if entry["record"].startswith("ref:"):
            assert entry["ref"] not in seen.of_key(f"refs:{entry['instance']}"), f"{job_id} waits for a known record"


def is_update(job: AnyJob | None) -> bool:
    """Whether order matters for it."""
    return isinstance(job, UpdateOpportunity)

"""What a person may do to jobs and instances. Each verb is one script, and refuses a job that has moved on."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from redis import Redis

from oppsync_worker.contract.fields import milliseconds
from oppsync_worker.contract.states import State
from oppsync_worker.ledger import keys
from oppsync_worker.ledger.ends import result_json
from oppsync_worker.ledger.scripts import Argument, Call


def replay(
    job_id: str,
    *,
    by: str,
    message: str | None = None,
    deadline: datetime | None = None,
    writes: Iterable[str] = (),
    seen: int | None = None,
) -> Call:
    """Send a dead letter back: attempt 1, one more replay, same id, the outcome of before forgotten.

    `message` replaces the job's message, where the job itself was mended; `deadline` is
    then that of the mended job, and one that it has no more is in force no more. `writes` are the fields that an update
    sets (`Job.written`). `seen` is since when (ms) it was dead when they looked: `changed` is the answer when it is
    another letter by now. Answers with the state it was in: `dead` when it was replayed; `unreadable` for raw bytes
    that were never a job; `superseded` when newer updates of the record have written all of its fields; `unknown`; or
    the state that forbids it.
    """
    return Call("replay", (job_id, message or "", by, milliseconds(deadline), seen or "", *writes))


def adopt(
    job_id: str,
    *,
    opportunity_id: int,
    result: Mapping[str, Any],
    by: str,
    ttl_s: int,
    though_taken: bool = False,
    seen: int | None = None,
) -> Call:
    """A person says which record a create in doubt has made; `result` is its outcome from now on.

    `though_taken` adopts a record that another job has already. `seen` is since when (ms) it was in doubt when they
    looked: `changed` is the answer when it is another doubt by now.
    """
    taken = 1 if though_taken else 0
    return Call("adopt", (job_id, opportunity_id, result_json(result), by, ttl_s, taken, seen or ""))


def adopted(answer: Any) -> tuple[str, str | None]:
    """The state the job was in (`in_doubt`: it was adopted), or `taken` and the job that has the record."""
    words = [part.decode() for part in answer]
    return words[0], (words[1] if len(words) > 1 else None)


def resend(job_id: str, *, by: str, seen: tuple[int, int] | None = None, is_a_persons: bool = False) -> Call:
    """A person says that a create in doubt has made no record: it goes again. Answers with the state it was in.

    `seen` is how many attempts and replays it had when they looked, and `is_a_persons` whether it waited for them:
    `changed` is the answer when that is not so any more.
    """
    return Call("resend", (job_id, by, *(seen or ("", "")), 1 if is_a_persons else ""))


def inquire(job_id: str, *, by: str) -> Call:
    """Look into a doubt anew, at once. Answers with the state the job is in."""
    return Call("inquire", (job_id, by))


def discard(
    job_id: str, *, state: State, by: str, ttl_s: int, seen: int | None = None, is_a_persons: bool = False
) -> Call:
    """Drop a job that is in `state`. Answers with the state it was in.

    `seen` is since when (ms) it was there when they looked, and `is_a_persons` whether it was a doubt that waited for
    them: `changed` is the answer when that is not so any more.
    """
    return Call("discard", (job_id, state.value, by, ttl_s, seen or "", 1 if is_a_persons else ""))


def tell(instance: str, *, fingerprint: str, facts: Mapping[str, Argument]) -> Call:
    """What a worker knows of an instance, told to all: its budget and its choices (see `limits.budget`).

    Answers 1 when jobs that were held for want of this knowledge are now on their way.
    """
    return Call("instance", (instance, fingerprint, *(part for pair in facts.items() for part in pair)))


def hold(instance: str, *, cause: str, note: str) -> Call:
    """Keep all jobs of an instance until somebody releases it."""
    return Call("hold", (instance, cause, note))


def unhold(instance: str, *, cause: str | None = None) -> Call:
    """Lift a hold (only one with this cause, if given). Answers with how many jobs were held, -1 when none was set."""
    return Call("unhold", (instance, cause or ""))


def resume(instance: str, *, dry_run: bool = False) -> Call:
    """End the pauses of an instance: its cool-down after a throttle, and its breaker. Read by `taken_away`."""
    return Call("budget", (instance, "resume", int(dry_run)))


def forget(instance: str, *, dry_run: bool = False) -> Call:
    """Believe no longer what throttles have taught of an instance's limit. Read by `taken_away`."""
    return Call("budget", (instance, "forget", int(dry_run)))


def taken_away(answer: Any) -> dict[str, str] | None:
    """Names and values of what was taken away from an instance's budget; None when no worker ever told of it."""
    known, *pairs = (part.decode() for part in answer)
    return dict(zip(pairs[::2], pairs[1::2], strict=True)) if known == "known" else None


def word(answer: Any) -> str:
    """A script's one-word answer."""
    return answer.decode() if isinstance(answer, bytes) else str(answer)


def held_instances(client: Redis) -> list[str]:
    """Instances on hold."""
    return sorted(name.decode() for name in cast("set[bytes]", client.smembers(keys.HOLDS)))

"""What a person may do to jobs and instances. Each verb is one script, and refuses a job that has moved on."""

from typing import Any, cast

from redis import Redis

from oppsync_worker.contract.states import State
from oppsync_worker.ledger import keys
from oppsync_worker.ledger.scripts import Call


def replay(job_id: str, *, by: str, message: str | None = None) -> Call:
    """Send a dead letter back: attempt 1, one more replay, same id, the outcome of before forgotten.

    `message` replaces the job's message, where the job itself was mended. Answers with the state it was in: `dead` when
    it was replayed, `unreadable` for raw bytes that never were a job, `unknown`, or the state that forbids it.
    """
    return Call("replay", (job_id, message or "", by))


def discard(job_id: str, *, state: State, by: str, ttl_s: int) -> Call:
    """Drop a job that is in `state`. Answers with the state it was in."""
    return Call("discard", (job_id, state.value, by, ttl_s))


def hold(instance: str, *, cause: str, note: str) -> Call:
    """Keep all jobs of an instance until somebody releases it."""
    return Call("hold", (instance, cause, note))


def unhold(instance: str, *, cause: str | None = None) -> Call:
    """Lift a hold (only one with this cause, if given). Answers with how many jobs were held, -1 when none was set."""
    return Call("unhold", (instance, cause or ""))


def word(answer: Any) -> str:
    """A script's one-word answer."""
    return answer.decode() if isinstance(answer, bytes) else str(answer)


def held_instances(client: Redis) -> list[str]:
    """Instances on hold."""
    return sorted(name.decode() for name in cast("set[bytes]", client.smembers(keys.HOLDS)))

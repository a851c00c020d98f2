"""Looking at jobs without changing them: what producers, operators and tests ask."""

from typing import Any

from oppsync_worker.contract.names import RESULT_KEY_PREFIX
from oppsync_worker.contract.outcomes import OUTCOME_FIELDS, Outcome
from oppsync_worker.ledger import keys


def ask_outcomes(pipe: Any, job_ids: list[str]) -> Any:
    """Queue the commands that `outcomes` reads on a pipeline, sync or asyncio."""
    for job_id in job_ids:
        pipe.hmget(keys.job(job_id), OUTCOME_FIELDS)
        pipe.zscore(keys.SCHEDULE, job_id)
        pipe.get(RESULT_KEY_PREFIX + job_id)
    return pipe


def outcomes(job_ids: list[str], answers: list[Any]) -> list[Outcome]:
    """Read the answers to `ask_outcomes`."""
    found = []
    for index, job_id in enumerate(job_ids):
        values, due, result = answers[3 * index : 3 * index + 3]
        entry = {name: _text(value) for name, value in zip(OUTCOME_FIELDS, values, strict=True)}
        found.append(Outcome.from_ledger(job_id, entry, due_ms=due, result=_text(result)))
    return found


def _text(value: bytes | str | None) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

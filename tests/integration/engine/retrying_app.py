"""The product with a plugin that wants jobs tried again, by a job's title. All of it in Celery's own words.

before     fails twice before the job is begun, then lets it through
never      fails before the job is begun, each time
midway     gives the job up in the middle of its call
by hand    calls `retry` by itself, once
finished   fails after the job was delivered
"""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from oppsync_worker.engine.engine import Engine
from oppsync_worker.tasks import OpportunityTask


class Boom(Exception):
    """What the plugin fails with; its text is a customer's."""


OpportunityTask.autoretry_for = (Boom, TimeoutError)
OpportunityTask.retry_kwargs = {"max_retries": 3, "countdown": 0.3}
OpportunityTask.retry_backoff = False

from oppsync_worker.app import app  # noqa: E402 - the tasks are made with what stands above

__all__ = ["app"]

_deliver = Engine.deliver
_calls: Counter[str] = Counter()


async def _delivering(self: Engine, delivery: Any) -> Any:
    _calls[delivery.job_id] += 1
    match delivery.kwargs["title"], _calls[delivery.job_id]:
        case ("never", _) | ("before", 1 | 2):
            raise Boom("Joana's deal")
        case "midway", 1:
            async with asyncio.timeout(0.3):
                return await _deliver(self, delivery)
        case "finished", _:
            await _deliver(self, delivery)
            raise Boom("Joana's deal")
    return await _deliver(self, delivery)


def _before_start(self: OpportunityTask, task_id: str, _args: Any, kwargs: Any) -> None:
    if kwargs["title"] == "by hand":
        _calls[task_id] += 1
        if _calls[task_id] == 1:
            raise self.retry(eta=datetime.now(UTC) + timedelta(seconds=0.5), kwargs={"title": "another"})


Engine.deliver = _delivering  # type: ignore[method-assign]
OpportunityTask.before_start = _before_start

"""From a claimed message to what the runner is given, through all of Celery that lies between.

The parts have tests of their own; what one writes under a name that the next does not read, only the whole chain shows.
"""

import asyncio
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.app import trace

from oppsync_worker.contract.jobs import CreateOpportunity, UpdateOpportunity
from oppsync_worker.contract.names import Kind, Lane
from oppsync_worker.contract.wire import ORIGIN, decode, encode
from oppsync_worker.engine.engine import Engine
from oppsync_worker.engine.envelopes import prepare
from oppsync_worker.engine.request import Request
from oppsync_worker.engine.transport import Message
from oppsync_worker.ledger.claims import Claimed
from oppsync_worker.runner.ends import Done
from oppsync_worker.runner.runner import Delivery
from oppsync_worker.tasks import register

CHANNEL = SimpleNamespace(decode_body=lambda body, _: body)

Run = Callable[[str], Delivery]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """What the runner is given for a message that was claimed under tag 41."""
    monkeypatch.setattr("celery._state._on_app_finalizers", set())
    monkeypatch.setattr("oppsync_worker.tasks.drive", asyncio.run)
    app = Celery("chain", set_as_current=False, broker="memory://", backend="disabled://")
    seen: list[Delivery] = []

    async def deliver(delivery: Delivery) -> Any:
        seen.append(delivery)
        return Done({})

    one = Engine(redis_url="redis://127.0.0.1:1/3", lease_s=30, ttl_s=60, concurrency=4, reporter=SimpleNamespace())  # type: ignore[arg-type]
    monkeypatch.setattr(one, "deliver", deliver)
    register(app, one, {})
    app.finalize()
    for kind in Kind:
        app.tasks[kind.value].__trace__ = trace.build_tracer(kind.value, app.tasks[kind.value], app=app)

    def carried(raw: str) -> Delivery:
        message = Message(prepare(Claimed("41", Lane.BULK.queue, raw.encode())), CHANNEL)
        task = app.tasks[message.headers["task"]]
        request = Request(message, app=app, task=task, body=message.body, headers=message.headers, hostname="h")
        trace.fast_trace_task(
            *(request.type, request.id, request.request_dict, request.body),
            *(request.content_type, request.content_encoding),
            loads=read_again,
            _loc=(app.tasks, [], "h"),
        )
        return seen.pop()

    def read_again(*_: Any, **__: Any) -> Any:
        pytest.fail("the body was read already")

    return carried


def message(job: CreateOpportunity | UpdateOpportunity, **headers: Any) -> str:
    """A job's message with other headers."""
    whole = json.loads(encode(job))
    whole["headers"] |= headers
    return json.dumps(whole)


CREATE = CreateOpportunity(instance="acme", funnel_id=7, title="Ação", crm_column=130, fields={"a": "b"})
UPDATE = UpdateOpportunity(instance="acme", funnel_id=7, opportunity_id=5, title="Ünal")


@pytest.mark.parametrize("job", [CREATE, UPDATE], ids=["create", "update"])
@pytest.mark.parametrize(("origin", "own"), [(ORIGIN, True), ("gen1@host", False), (None, False), ([ORIGIN], False)])
def test_the_runner_is_given_what_was_enqueued(run: Run, job: Any, origin: Any, own: Any) -> None:
    """The same job, under its claim, and who wrote it.

    A job of ours that is taken for a stranger's is compared again at each attempt, and told as a stranger's to a ledger
    that has forgotten it.
    """
    given = run(message(job, origin=origin))

    assert (given.tag, given.task, given.job_id, given.own) == ("41", job.kind.value, job.job_id, own)
    assert decode(given.task, given.job_id, given.args, given.kwargs) == job

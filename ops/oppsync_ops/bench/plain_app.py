"""What throughput is compared with: an ordinary Celery app as a careful developer writes one.

Celery's documented good practice, and nothing of ours: late acknowledgement, a prefetch of one, JSON only, results
kept, a visibility timeout above the longest job, `autoretry_for` with backoff and jitter, and one `httpx.Client` for
each process or thread with its connection kept open. One instance, no rate limit, no ledger, no proof against doubles.

    celery -A oppsync_ops.bench.plain_app worker --pool threads --concurrency 100
"""

import os
import threading
from collections.abc import Iterable
from typing import Any, Final

import httpx
from celery import Celery

from oppsync_ops.bench.load import FUNNEL_ID

TASK: Final = "plain.create_opportunity"

CONNECT_TIMEOUT_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 30.0


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["app"] = app = create_app(os.environ["REDIS_URL"])
    add_task(
        app,
        base_url=os.environ["SPRINTHUB_BASE_URL"],
        instance=os.environ["SPRINTHUB_INSTANCE"],
        token=os.environ["SPRINTHUB_API_TOKEN"],
    )
    return app


def create_app(redis_url: str) -> Celery:
    """The app: broker and results in the same Redis."""
    app = Celery("plain", broker=redis_url, backend=redis_url)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        result_expires=86_400,
        task_default_queue="plain",
        broker_transport_options={"visibility_timeout": 900},
        broker_connection_retry_on_startup=True,
    )
    return app


def add_task(app: Celery, *, base_url: str, instance: str, token: str) -> None:
    """The task: one POST, tried again after network errors and error statuses."""
    mine = threading.local()
    # One for all threads: making it costs more than a hundred requests.
    context = httpx.create_ssl_context()

    def client() -> httpx.Client:
        if not hasattr(mine, "client"):
            mine.client = httpx.Client(
                base_url=base_url,
                headers={"apitoken": token},
                timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
                verify=context,
            )
        return mine.client  # type: ignore[no-any-return]

    @app.task(  # type: ignore[untyped-decorator, unused-ignore]
        name=TASK,
        autoretry_for=(httpx.TransportError, httpx.HTTPStatusError),
        retry_backoff=True,
        retry_backoff_max=600,
        retry_jitter=True,
        max_retries=12,
    )
    def create_opportunity(document: dict[str, Any]) -> int:
        """Create one opportunity; its id."""
        query = f"id={FUNNEL_ID}&i={instance}"
        answer = client().post(f"/crmopportunity?{query}", json={**document, "sequence": "0"})
        answer.raise_for_status()
        return int(answer.json()["id"])


def enqueue(redis_url: str, documents: Iterable[dict[str, Any]]) -> None:
    """Hand documents over, as another application would by the task's name."""
    app = create_app(redis_url)
    # With a result backend, Celery's producer subscribes to every result; only the worker needs to know of it.
    app.conf.result_backend = None
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        for document in documents:
            app.send_task(TASK, (document,), producer=producer)
    app.close()

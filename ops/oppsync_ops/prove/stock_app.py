"""What this software is compared with: an ordinary Celery app that delivers the same jobs, by the book.

Documented settings and nothing of ours: late acknowledgement, a prefetch of one, `task_reject_on_worker_lost`, JSON
only, results kept, `autoretry_for` with backoff and jitter, a visibility timeout above the longest call (see
`bench.plain_app`), `rate_limit` for each worker as its share of the budget, one `httpx.Client` for each thread. A
create remembers the new record's id under the caller's reference, and is not sent again once it is known; an update
that finds no id yet is retried.

    celery -A oppsync_ops.prove.stock_app worker --pool threads --queues stock.interactive,stock.bulk

The signal handlers at the end belong to the proof: they note in Redis which worker has which task in hand.
"""

import json
import os
import socket
import threading
from pathlib import Path
from typing import Any, Final

import httpx
import redis
from celery import Celery, Task, signals

from oppsync_ops.bench.plain_app import create_app
from oppsync_ops.prove.planned import FUNNEL_ID

SETTINGS_VARIABLE: Final = "OPPSYNC_PROVE_STOCK"
"""Names the JSON file with everything that the app is told."""
IDS: Final = "stock:ids"
HANDS: Final = "prove:hands"
STARTED: Final = "prove:started"
READY: Final = "prove:ready"
MOST_RETRIES: Final = 60


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    told = json.loads(Path(os.environ[SETTINGS_VARIABLE]).read_text("utf-8"))
    globals()["app"] = app = stock_app(os.environ["REDIS_URL"], told)
    add_tasks(app, told, redis_url=os.environ["REDIS_URL"], base_url=os.environ["SPRINTHUB_BASE_URL"])
    watch(os.environ["REDIS_URL"])
    return app


class Refused(Exception):
    """The CRM refused it for good; not retried."""


class NotYet(Exception):
    """The record's create has not run yet; retried."""


def task_name(instance: str) -> str:
    """One task for each instance, since `rate_limit` is kept for each task."""
    return f"stock.deliver.{instance}"


def stock_app(redis_url: str, told: dict[str, Any]) -> Celery:
    """The app, for workers and producers."""
    app = create_app(redis_url)
    app.conf.broker_transport_options = {
        "visibility_timeout": told["visibility_s"],
        # Abandoned messages are looked for every 10 s, and not only every 100 s as by default.
        "unacked_restore_throttle": 1,
    }
    return app


def add_tasks(app: Celery, told: dict[str, Any], *, redis_url: str, base_url: str) -> None:
    """A task for each instance."""
    ids = redis.Redis.from_url(redis_url, decode_responses=True)
    mine = threading.local()
    context = httpx.create_ssl_context()
    timeout = httpx.Timeout(told["read_s"], connect=2.0)

    def client() -> httpx.Client:
        if not hasattr(mine, "client"):
            mine.client = httpx.Client(base_url=base_url, timeout=timeout, verify=context)
        return mine.client  # type: ignore[no-any-return]

    for instance, given in told["instances"].items():
        headers = {"apitoken": given["token"]}

        def deliver(
            self: Task,
            *,
            instance: str,
            document: dict[str, Any],
            reference: str | None = None,
            opportunity_id: int | None = None,
            creates: bool,
            headers: dict[str, str] = headers,
        ) -> int:
            """Create or update one opportunity; its id."""
            query = f"id={FUNNEL_ID}&i={instance}"
            key = f"{instance}:{reference}" if reference else str(self.request.id)
            if creates:
                known: Any = ids.hget(IDS, key)
                if known:
                    return int(known)
                body = {**document, "sequence": "0"}
                answer = client().post(f"/crmopportunity?{query}", json=body, headers=headers)
                _check(answer)
                made = int(answer.json()["id"])
                ids.hset(IDS, key, str(made))
                return made
            target: Any = opportunity_id or ids.hget(IDS, key)
            if not target:
                raise NotYet(key)
            _check(client().put(f"/crmopportunity/{target}?{query}", json=document, headers=headers))
            return int(target)

        app.task(
            bind=True,
            name=task_name(instance),
            rate_limit=given["rate_limit"],
            autoretry_for=(Exception,),
            dont_autoretry_for=(Refused,),
            retry_backoff=1,
            retry_backoff_max=told["backoff_most_s"],
            retry_jitter=True,
            max_retries=MOST_RETRIES,
        )(deliver)


def _check(answer: httpx.Response) -> None:
    if answer.status_code in {400, 403, 404, 422}:
        raise Refused(f"HTTP {answer.status_code}")
    answer.raise_for_status()


def watch(redis_url: str) -> None:
    """The proof's own: which worker has which task in hand, and how many were begun."""
    client = redis.Redis.from_url(redis_url)
    name = f"{socket.gethostname()}:{os.getpid()}"

    def ready(**_: Any) -> None:
        client.sadd(READY, name)

    def begun(task_id: str, **_: Any) -> None:
        pipe = client.pipeline(transaction=False)
        pipe.hset(HANDS, task_id, f"{os.urandom(6).hex()} {name}")
        pipe.incr(STARTED)
        _quietly(pipe.execute)

    def ended(task_id: str, **_: Any) -> None:
        _quietly(lambda: client.hdel(HANDS, task_id))

    signals.worker_ready.connect(ready, weak=False)
    signals.task_prerun.connect(begun, weak=False)
    signals.task_postrun.connect(ended, weak=False)


def _quietly(call: Any) -> None:
    try:
        call()
    except redis.RedisError:
        return

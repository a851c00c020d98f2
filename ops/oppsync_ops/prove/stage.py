"""What a run stands on: a Redis (AOF always), a simulated CRM, and a proxy before each of them for every worker.

Everything is on loopback, on free ports, in a folder of its own.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from oppsync_ops import redis_server
from oppsync_ops.processes import Processes
from oppsync_ops.prove.plan import Plan
from oppsync_ops.prove.planned import COLUMNS, CUSTOM_FIELD, FUNNEL_ID, USER_ID
from oppsync_ops.prove.schedule import has_crm_proxy
from oppsync_ops.proxy import Proxy, proxied
from oppsync_ops.redis_server import RedisServer
from oppsync_ops.witness import Witness

MARKER_FIELD: Final = "oppsync"
LATENCY_MS, LATENCY_JITTER_MS = 120, 260
ROWS_PER_JOB: Final = 20
"""Of the CRM's journal, which drops its oldest rows when it is full."""
LEAST_ROWS: Final = 200_000
THROTTLE_MARGIN: Final = 1
"""The CRM throttles at so many requests above the budget: just above it."""
REDIS_TIMEOUT_S: Final = 2.0


class Redis:
    """The run's Redis, which can be killed and started again on its data and port."""

    def __init__(self, data: Path, *, patience_s: float = 15.0) -> None:
        """`patience_s`: how long it may take to load its data when it is started again."""
        self._server: RedisServer = redis_server.start(data)
        self._patience_s = patience_s
        self._over = False
        self._lock = threading.Lock()
        self.port = self._server.port

    @property
    def url(self) -> str:
        """Its own address, past every proxy, with the rights that jobs need."""
        return self._server.app_url

    @property
    def pid(self) -> int:
        """The process that serves now."""
        return self._server.process.pid

    def client(self) -> redis.Redis:
        """A client with every right, which fails at once when Redis is away."""
        return redis.Redis.from_url(
            self._server.url,
            socket_timeout=REDIS_TIMEOUT_S,
            socket_connect_timeout=REDIS_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )

    def kill(self) -> None:
        """SIGKILL."""
        self._server.kill()

    def start(self) -> None:
        """Start it again, with the data it had written."""
        with self._lock:
            if not self._over:
                self._server = redis_server.start(self._server.data, port=self.port, patience_s=self._patience_s)

    def stop(self) -> None:
        """The end, for good."""
        with self._lock:
            self._over = True
            self._server.stop()


@dataclass(frozen=True, slots=True)
class Links:
    """One worker's ways out."""

    to_redis: Proxy
    to_crm: Proxy | None
    redis_url: str
    crm_url: str


@dataclass(frozen=True, slots=True)
class Stage:
    """All of it is up; workers are somebody else's."""

    folder: Path
    plan: Plan
    redis: Redis
    crm: Witness
    links: tuple[Links, ...]
    processes: Processes


@contextmanager
def staged(plan: Plan, folder: Path) -> Iterator[Stage]:
    """Everything for as long as the block lasts."""
    with ExitStack() as stack:
        server = Redis(folder / "redis")
        stack.callback(server.stop)
        processes = stack.enter_context(Processes(folder))
        options = ["--seed", str(plan.options.seed), "--throttle", "off"]
        options += ["--latency-ms", str(LATENCY_MS), "--latency-jitter-ms", str(LATENCY_JITTER_MS)]
        options += ["--set", f"lead_required={'on' if plan.options.leads else 'off'}"]
        options += ["--set", f"journal_size={max(LEAST_ROWS, ROWS_PER_JOB * len(plan.jobs))}"]
        crm = Witness.start(processes, *options)
        for declared in declarations(plan):
            crm.declare(declared)
        links = tuple(_links(stack, server, crm, worker) for worker in range(plan.options.workers))
        yield Stage(folder, plan, server, crm, links, processes)


def token(instance: str) -> str:
    """An invented credential."""
    return f"prove-{instance}-0123456789"


def _links(stack: ExitStack, server: Redis, crm: Witness, worker: int) -> Links:
    to_redis = stack.enter_context(_quiet(server.port))
    crm_port = urlsplit(crm.url).port or 0
    to_crm = stack.enter_context(_quiet(crm_port)) if has_crm_proxy(worker) else None
    return Links(
        to_redis=to_redis,
        to_crm=to_crm,
        redis_url=redis_server.app_url_at(to_redis.port),
        crm_url=f"http://127.0.0.1:{to_crm.port}" if to_crm else crm.url,
    )


@contextmanager
def _quiet(port: int) -> Iterator[Proxy]:
    with proxied(port) as proxy:
        try:
            yield proxy
        finally:
            with suppress(TimeoutError):
                proxy.flow()


def declarations(plan: Plan) -> Iterator[dict[str, Any]]:
    """The instances of a plan, as the simulated CRM is told of them."""
    columns = [{"id": column, "automation": "welcome message"} for column in COLUMNS]
    for instance, allowance in plan.budgets.items():
        yield {
            "name": instance,
            "token": token(instance),
            "marker_field": MARKER_FIELD,
            "fields": [CUSTOM_FIELD, *([MARKER_FIELD] if plan.options.marker else [])],
            "users": [USER_ID],
            "funnels": [{"id": FUNNEL_ID, "columns": columns}],
            "throttle": f"{allowance.requests + THROTTLE_MARGIN}/{allowance.window_s:g}s",
        }

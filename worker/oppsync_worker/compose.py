"""Putting the parts together. Imported by `app` once Sentry is in place, and by nothing else."""

import gc
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypedDict

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

from oppsync_worker.celeryconfig import celery_settings
from oppsync_worker.crm.client import CrmClient
from oppsync_worker.crm.lists import CrmLists
from oppsync_worker.engine.beating import Beating
from oppsync_worker.engine.consumer import Consumer
from oppsync_worker.engine.engine import Engine
from oppsync_worker.engine.housekeeping import Housekeeping
from oppsync_worker.engine.pool import TaskPool
from oppsync_worker.engine.sweep import Sweep
from oppsync_worker.engine.transport import ALIAS, Transport
from oppsync_worker.engine.watchdog import Watchdog
from oppsync_worker.instances import InstanceSettings
from oppsync_worker.ledger.book import Book
from oppsync_worker.limits.budget import MARGIN_MS, announce
from oppsync_worker.runner.reconciler import Reconciler
from oppsync_worker.runner.reports import Reporter
from oppsync_worker.runner.runner import Runner
from oppsync_worker.settings import Settings, fingerprint
from oppsync_worker.tasks import register


class Shared(TypedDict):
    """What jobs and look-ups are both done with."""

    book: Book
    instances: Mapping[str, InstanceSettings]
    reporter: Reporter
    ttl_s: int
    draw: Callable[[], float]


def create_app(settings: Settings, url: str, reporter: Reporter) -> Celery:
    """Build the Celery app of one worker process."""
    engine = Engine(
        redis_url=url,
        lease_s=settings.lease_seconds,
        ttl_s=settings.ttl_s,
        concurrency=settings.concurrency,
        reporter=reporter,
    )

    class Pool(TaskPool):
        """The pool of this app."""

    class AppConsumer(Consumer):
        """The consumer of this app."""

    # Celery makes both itself, from their classes: a class of one's own is how they get to know the engine.
    Pool.engine = AppConsumer.engine = engine
    Pool.opening = staticmethod(lambda: opened(engine, settings, reporter))
    # kombu refuses dotted names in a URL's scheme, so the transport needs an alias.
    TRANSPORT_ALIASES[ALIAS] = f"{Transport.__module__}:{Transport.__qualname__}"
    app = Celery("oppsync")
    app.config_from_object(celery_settings(engine, concurrency=settings.concurrency, pool=Pool, consumer=AppConsumer))
    register(app, engine, settings.instances)
    return app


@asynccontextmanager
async def opened(engine: Engine, settings: Settings, reporter: Reporter) -> AsyncIterator[None]:
    """Everything that lives on the asyncio thread, for as long as the worker runs."""
    # Twice the lease: later than that, somebody else has the job.
    book = Book(engine.redis_url, patience_s=2 * settings.lease_seconds)
    crm = CrmClient()
    shared: Shared = {
        "book": book,
        "instances": settings.instances,
        "reporter": reporter,
        "ttl_s": settings.ttl_s,
        "draw": random.random,
    }
    longest_call_s = max((one.call_seconds for one in settings.instances.values()), default=0.0)
    housekeeping = Housekeeping(
        book.redis,
        engine.hands,
        name=engine.name,
        reporter=reporter,
        lease_ms=engine.lease_ms,
        max_crashes=settings.max_crashes,
        ttl_s=settings.ttl_s,
        announcements=[announce(one, fingerprint=fingerprint(one)) for one in settings.instances.values()],
        reconciler=Reconciler(lists=CrmLists(crm), **shared),
        look_ms=int(longest_call_s * 1000) + MARGIN_MS,
        concurrency=engine.concurrency,
        sweep=Sweep(
            book.redis,
            worker=engine.name,
            reporter=reporter,
            every_s=settings.sweep_seconds,
            ttl_s=settings.ttl_s,
        ),
    )
    beating = Beating(engine, housekeeping, instances=list(settings.instances), folder=settings.health_dir)
    watchdog = Watchdog(engine, beating, patience_s=settings.watchdog_seconds, longest_call_s=longest_call_s)
    async with crm, housekeeping.running(), beating.running():
        engine.book = book
        engine.runner = Runner(sender=crm, lease_s=settings.lease_seconds, **shared)
        engine.stoppers = [engine.runner.stop, housekeeping.stop]
        # What lives as long as the worker is not looked through again and again for garbage; what jobs leave behind is
        # looked for less often. Half a millisecond per job.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        try:
            with watchdog.running():
                yield
        finally:
            engine.runner = engine.book = None
    await book.close()
    engine.close()

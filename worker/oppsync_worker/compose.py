"""Putting the parts together. Imported by `app` once Sentry is in place, and by nothing else."""

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypedDict

from celery import Celery
from celery.signals import celeryd_after_setup, celeryd_init
from celery.worker import state as celery_state
from kombu.transport import TRANSPORT_ALIASES

from oppsync_worker.celeryconfig import celery_settings
from oppsync_worker.crm.client import CrmClient
from oppsync_worker.crm.lists import CrmLists
from oppsync_worker.engine.beating import Beating
from oppsync_worker.engine.consumer import Consumer
from oppsync_worker.engine.engine import Engine
from oppsync_worker.engine.housekeeping import Housekeeping
from oppsync_worker.engine.pool import TaskPool
from oppsync_worker.engine.starting import refuse_what_cannot_be_kept
from oppsync_worker.engine.sweep import Sweep
from oppsync_worker.engine.transport import ALIAS, Transport
from oppsync_worker.engine.watchdog import Watchdog
from oppsync_worker.instances import InstanceSettings
from oppsync_worker.ledger.book import Book, Replicas
from oppsync_worker.ledger.durability import TooOld
from oppsync_worker.limits.budget import MARGIN_MS, announce
from oppsync_worker.runner.reconciler import Reconciler
from oppsync_worker.runner.reports import Reporter
from oppsync_worker.runner.runner import Runner
from oppsync_worker.safety import StartCheck, refuse
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

    check = StartCheck(
        url,
        settings.instances.values(),
        require=settings.require_durable,
        tell=lambda name, sentence: reporter.notice("unsafe", what=name, detail=sentence),
    )
    # Sent to workers only, once their log is set up and before they claim anything.
    celeryd_after_setup.connect(lambda **_: check.at_start(), weak=False)

    class Pool(TaskPool):
        """The pool of this app."""

    class AppConsumer(Consumer):
        """The consumer of this app."""

    # Celery makes both itself, from their classes: a class of one's own is how they get to know the engine.
    Pool.engine = AppConsumer.engine = engine
    AppConsumer.remote_control = settings.remote_control
    Pool.opening = staticmethod(lambda: opened(engine, settings, reporter, check))
    # kombu refuses dotted names in a URL's scheme, so the transport needs an alias.
    TRANSPORT_ALIASES[ALIAS] = f"{Transport.__module__}:{Transport.__qualname__}"
    app = Celery("oppsync")
    app.config_from_object(
        celery_settings(
            engine,
            concurrency=settings.concurrency,
            pool=Pool,
            consumer=AppConsumer,
            remote_control=settings.remote_control != "off",
        )
    )
    register(app, engine, settings.instances)

    @celeryd_init.connect(weak=False)  # type: ignore[untyped-decorator]
    def started(instance: Any, options: Mapping[str, Any], conf: Any, **_: Any) -> None:
        if instance.app is app:
            refuse_what_cannot_be_kept(instance, options, conf)

    return app


@asynccontextmanager
async def opened(engine: Engine, settings: Settings, reporter: Reporter, check: StartCheck) -> AsyncIterator[None]:
    """Everything that lives on the asyncio thread, for as long as the worker runs."""
    # Twice the lease: later than that, somebody else has the job.
    book = Book(
        engine.redis_url,
        patience_s=2 * settings.lease_seconds,
        replicas=Replicas(settings.wait_replicas, settings.wait_ms),
    )
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
    beating = Beating(
        engine,
        housekeeping,
        instances=list(settings.instances),
        folder=settings.health_dir,
        warnings=[one.sentence for one in check.plain],
    )
    watchdog = Watchdog(engine, beating, patience_s=settings.watchdog_seconds, longest_call_s=longest_call_s)
    async with crm, housekeeping.running(), beating.running(), hearing(check, book):
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


@asynccontextmanager
async def hearing(check: StartCheck, book: Book) -> AsyncIterator[None]:
    """Where Redis was away at the start, it is asked when it is back; one that is too old ends the worker."""

    async def ask() -> None:
        try:
            await check.until_heard(book.redis)
        except TooOld as error:
            celery_state.should_stop = refuse([str(error)]).code

    task = asyncio.create_task(ask(), name="start check")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

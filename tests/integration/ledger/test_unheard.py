"""A yes that nobody heard: the ledger has a job as sending, and its worker knows that it is not."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

import pytest
import redis

from integration.ledger.desk import TTL_S, Desk, change, deal
from oppsync_ops.proxy import Proxy, proxied
from oppsync_ops.redis_server import url_at
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.states import State
from oppsync_worker.contract.wire import kwargs_of
from oppsync_worker.instances import InstanceSettings
from oppsync_worker.ledger import ends, operating
from oppsync_worker.ledger.assembly import load
from oppsync_worker.ledger.book import Book
from oppsync_worker.ledger.standing import stand
from oppsync_worker.runner.ends import End, Parked
from oppsync_worker.runner.runner import Delivery, Runner
from stage import eventually

PATIENCE_S = 0.2
LEASE_S = 60.0


class NoCrm:
    """Nothing may be sent."""

    async def send(self, *_: object, **__: object) -> NoReturn:
        """Nobody may come here."""
        raise AssertionError("sent, although nobody heard that it may be")


class Kept:
    """A reporter that keeps the notices it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def notice(self, event: str, **_: object) -> None:
        """What an operator may want to know."""
        self.told.append(event)

    def __getattr__(self, _: str) -> Callable[..., None]:
        """Anything else."""
        return lambda *_, **__: None


async def unheard(
    desk: Desk,
    proxy: Proxy,
    job: AnyJob,
    meanwhile: Callable[[], object],
    broken: Callable[[Proxy], object] = Proxy.refuse,
) -> End:
    """Deliver a job through a link that swallows the answer; `meanwhile` happens while it is recorded as sending."""
    desk.enqueue(job)
    hand, _ = desk.one()
    book, reporter = Book(url_at(proxy.port), patience_s=PATIENCE_S), Kept()
    try:
        # The connection is there and the script is known, so that the question itself is what passes.
        await book.surely(stand(hand))
        desk.client.script_load(load("begin").text)
        runner = Runner(
            book=book,
            sender=NoCrm(),
            instances={"acme": InstanceSettings(name="acme", token="t")},
            reporter=reporter,  # type: ignore[arg-type]
            ttl_s=TTL_S,
            lease_s=LEASE_S,
            draw=lambda: 0.5,
        )
        proxy.mute()
        delivery = Delivery(hand.tag, job.kind.value, job.job_id, (), kwargs_of(job), own=True)
        delivering = asyncio.create_task(runner.deliver(delivery))
        await asyncio.to_thread(eventually, lambda: desk.state(job) == State.SENDING)
        if broken is Proxy.refuse:
            proxy.refuse()
            await asyncio.to_thread(eventually, lambda: "ledger_unavailable" in reporter.told)
            meanwhile()
        else:
            meanwhile()
            broken(proxy)
        proxy.flow()
        return await delivering
    finally:
        await book.close()


async def test_nor_when_it_hears_first_that_its_claim_is_lost(ledger: redis.Redis) -> None:
    """The link broke and was there again at once, but by then the lease had run out, as after a process stood still."""
    desk, job = Desk(ledger), deal()

    with proxied(ledger.connection_pool.connection_kwargs["port"]) as proxy:
        end = await unheard(desk, proxy, job, desk.silence, broken=Proxy.cut)

    assert end == Parked(State.WAITING)
    assert desk.send_next()[2].attempt == 1


@pytest.mark.parametrize("silent", [False, True], ids=["in hand", "taken for lost"])
async def test_a_create_that_was_not_sent_is_not_in_doubt(ledger: redis.Redis, *, silent: bool) -> None:
    """Not even when its lease ran out meanwhile: its worker tells that nothing has left, and nothing is counted."""
    desk, job = Desk(ledger), deal()

    def meanwhile() -> None:
        if silent:
            desk.silence()
            assert desk.state(job) == State.IN_DOUBT

    with proxied(ledger.connection_pool.connection_kwargs["port"]) as proxy:
        end = await unheard(desk, proxy, job, meanwhile)

    assert end == Parked(State.WAITING)
    assert desk.state(job) in {State.WAITING, State.QUEUED}
    assert ledger.hget(f"oppsync:job:{job.job_id}", "attempts") == b"0"
    hand, _, go = desk.send_next()
    assert go.attempt == 1
    desk.succeed(hand, job)
    assert desk.state(job) == State.SUCCEEDED


async def test_an_update_that_was_not_sent_keeps_nobody_waiting(ledger: redis.Redis) -> None:
    """The next of its record does not wait until it can no longer be under way."""
    desk, first, second = Desk(ledger), change(5), change(5)

    with proxied(ledger.connection_pool.connection_kwargs["port"]) as proxy:
        end = await unheard(desk, proxy, first, lambda: desk.enqueue(second))

    assert end == Parked(State.WAITING)
    assert [one.job_id for one in desk.work_off()] == [first.job_id, second.job_id]


async def test_what_became_of_it_meanwhile_stays(ledger: redis.Redis) -> None:
    """A person has decided about the doubt, or others have begun it anew: their word stands."""
    desk, job = Desk(ledger), deal()

    def meanwhile() -> None:
        desk.silence()
        desk.run(operating.resend(job.job_id, by="me"))
        hand, _, _ = desk.send_next()
        desk.succeed(hand, job)

    with proxied(ledger.connection_pool.connection_kwargs["port"]) as proxy:
        end = await unheard(desk, proxy, job, meanwhile)

    assert end == Parked(State.UNKNOWN)
    assert desk.state(job) == State.SUCCEEDED


def test_what_was_never_begun_gives_no_attempt_back(ledger: redis.Redis) -> None:
    """The question has not arrived either."""
    desk, job = Desk(ledger), deal()
    desk.enqueue(job)
    hand, _ = desk.one()

    desk.run(ends.not_begun(hand, kind=job.kind, instance=job.instance, lane=job.lane))

    assert desk.field(job, "attempts") in {"", "0"}
    assert desk.send_next()[2].attempt == 1

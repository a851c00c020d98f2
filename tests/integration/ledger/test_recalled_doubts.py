"""A look-up finds a job's record, and the ledger knows nothing of a doubt: it forgot it, or a person has ended it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from integration.ledger.desk import ATTEMPT, TTL_S, Desk, deal
from integration.ledger.forgetting import Memory
from integration.ledger.test_recalling import EVERYWHERE
from oppsync import State
from oppsync_worker.instances import InstanceSettings
from oppsync_worker.ledger import ends, keys, operating
from oppsync_worker.ledger.book import Book
from oppsync_worker.ledger.promoting import Look
from oppsync_worker.runner.reconciler import Reconciler
from stage import time_passes, told


@pytest.fixture
def desk(ledger: redis.Redis) -> Desk:
    """A ledger whose doubts are looked into at once."""
    desk = Desk(ledger)
    desk.run(told("acme", probe_ms=0))
    return desk


@pytest.fixture
async def book(redis_url: str) -> Any:
    """A worker's ledger."""
    book = Book(redis_url, patience_s=5)
    yield book
    await book.close()


@dataclass(frozen=True)
class Row:
    """A record that bears the job's marker."""

    opportunity_id: int
    marker: str = "ours"
    created: datetime | None = field(default_factory=lambda: datetime.now(UTC))
    title_same: bool = True
    value_same: bool = True
    user_same: bool = True
    column_same: bool = True
    lead_same: bool | None = True
    kept: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """The lead's list."""

    rows: tuple[Row, ...]
    whole: bool = True
    crm_ahead_s: float | None = 0.0


class Listening:
    """Keeps the names of what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda event, *_, **__: self.told.append(event if name == "notice" else name)


class Lists:
    """The lead's list has the record, with the job's marker."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile = meanwhile

    async def by_lead(self, *_: object) -> Listing:
        """While it is read, something happens."""
        self._meanwhile()
        return Listing((Row(77),))

    async def by_column(self, *_: object, **__: object) -> Listing:
        """Never asked for."""
        raise AssertionError("the lead's list tells all")


async def looked(book: Book, look: Look, meanwhile: Callable[[], None]) -> list[str]:
    """Do a look-up that finds record 77, while something happens; what was told of it."""
    listening = Listening()
    reconciler = Reconciler(
        book=book,
        lists=Lists(meanwhile),
        instances={"acme": InstanceSettings(name="acme", token="t", marker_field="m")},
        reporter=listening,  # type: ignore[arg-type]
        ttl_s=TTL_S,
        draw=lambda: 0.5,
    )
    await reconciler.look(look)
    return listening.told


@pytest.mark.parametrize("where", EVERYWHERE)
@pytest.mark.parametrize("remembered", ["enqueued", "nothing"])
async def test_a_look_up_that_finds_the_record_wins_over_a_ledger_that_forgot_the_doubt(
    desk: Desk, book: Book, where: Callable[[Desk], None], remembered: str
) -> None:
    """The replica believes that the create was never sent, or never enqueued: it must not go again."""
    job = deal(job_id="one", lead_id=3, external_ref="r", idempotency_key="k")
    memory = Memory(desk.client)
    if remembered == "nothing":
        memory.take()
    desk.enqueue(job)
    if remembered == "enqueued":
        memory.take()
    hand, _, _ = desk.send_next()
    desk.run(ends.doubt(hand, attempt=ATTEMPT))
    look = desk.look()

    def forget() -> None:
        memory.restore()
        if remembered == "nothing":
            desk.run(told("acme"))
        else:
            where(desk)

    told_of = await looked(book, look, forget)

    assert (desk.state(job), desk.field(job, "opportunity_id")) == ("succeeded", "77")
    assert told_of == ["recalled"]
    assert desk.client.get("oppsync:idem:acme:k") == b"one"
    assert desk.client.hget(keys.references("acme"), "r") == b"77"
    assert b'"adopted":true' in (desk.client.get("celery-task-meta-one") or b"")
    desk.run(operating.unhold("acme"))
    desk.silence()
    assert desk.work_off() == []
    assert desk.client.zcard(keys.LEASES) == desk.client.zcard(keys.IN_DOUBT) == 0


@pytest.mark.parametrize("deed", ["adopt another", "discard", "resend and send", "adopt the same"])
async def test_a_look_up_that_finds_the_record_after_a_person_decided_is_told(
    desk: Desk, book: Book, deed: str
) -> None:
    """What they decided stands; what they could not know is in `oppsync status`, or ends what they began."""
    job = deal(job_id="one", lead_id=3)
    desk.enqueue(job)
    desk.run(ends.doubt(desk.send_next()[0], attempt=ATTEMPT))
    look = desk.look()

    def decide() -> None:
        match deed:
            case "discard":
                desk.run(operating.discard("one", state=State.IN_DOUBT, by="me", ttl_s=60))
            case "resend and send":
                desk.run(operating.resend("one", by="me"))
                desk.run(time_passes())
                desk.send_next()
            case _:
                record = 77 if deed == "adopt the same" else 78
                desk.run(operating.adopt("one", opportunity_id=record, result={}, by="me", ttl_s=TTL_S))

    told_of = await looked(book, look, decide)

    surplus = deed in {"adopt another", "discard"}
    assert desk.state(job) == ("discarded" if deed == "discard" else "succeeded")
    assert desk.field(job, "surplus") == ("77" if surplus else "")
    assert told_of == (["surplus"] if surplus else ["recalled"] if deed == "resend and send" else [])
    desk.silence()
    assert desk.work_off() == []

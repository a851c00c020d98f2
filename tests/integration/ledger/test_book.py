"""The worker's half of the ledger: many callers share a round trip, and nobody an error."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from oppsync_worker.ledger.book import BATCH, Book
from oppsync_worker.ledger.ends import Hand
from oppsync_worker.ledger.scripts import Call, NotAnArgument
from oppsync_worker.ledger.standing import stand

GOOD = stand(Hand("1", "a-job", 60))


@pytest.fixture
async def book(redis_url: str) -> AsyncIterator[Book]:
    """On a real Redis."""
    book = Book(redis_url, patience_s=5)
    yield book
    await book.close()


@pytest.mark.parametrize(
    ("bad", "error"),
    [(Call("stand", ("1", None)), NotAnArgument), (Call("no-such-script", ()), FileNotFoundError)],  # type: ignore[arg-type]
)
async def test_what_is_wrong_with_a_call_only_its_caller_hears(book: Book, bad: Call, error: type[Exception]) -> None:
    """Asked for in one round trip with as many others as go into one."""
    calls = [*[GOOD] * (BATCH // 2), bad, *[GOOD] * BATCH]

    answers: list[Any] = await asyncio.gather(*(book.surely(call) for call in calls), return_exceptions=True)

    (wrong,) = [answer for answer in answers if isinstance(answer, BaseException)]
    assert isinstance(wrong, error)
    assert answers[BATCH // 2] is wrong


async def test_a_text_without_bytes_passes(book: Book) -> None:
    """What a stranger called his job can be looked up like anything else."""
    assert await book.surely(stand(Hand("\ud800", "\udfff", 60))) == await book.surely(GOOD)

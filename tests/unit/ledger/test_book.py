"""The ledger as a worker writes it: the seconds of its clock become the scripts' milliseconds."""

import asyncio
from typing import Any

import pytest

from oppsync_worker.contract.jobs import CreateOpportunity
from oppsync_worker.contract.states import State
from oppsync_worker.ledger import book as books
from oppsync_worker.ledger import ends, recalling
from oppsync_worker.ledger.book import Book, Settled
from oppsync_worker.ledger.connect import LedgerUnavailable
from oppsync_worker.ledger.scripts import Call

JOB = CreateOpportunity(job_id="j1", instance="acme", funnel_id=7, title="T", crm_column=130)
SENT = recalling.Sent(JOB, 30_000)
END = ends.succeed(ends.Hand("7", "j1", 600), opportunity_id=5, result={})


class Answers:
    """What the ledger says, one after the other."""

    def __init__(self, *given: Any) -> None:
        self.given = list(given)
        self.asked: list[Call] = []

    async def __call__(self, call: Call, *, patience_s: float | None = None) -> Any:
        """One script; the end of a request that was sent is tried for long."""
        assert patience_s == (None if call.script == "late" else books.END_PATIENCE_S)
        self.asked.append(call)
        return self.given.pop(0)


def book(answers: Answers) -> Book:
    """With such a ledger."""
    one = Book("redis://127.0.0.1:1/0", patience_s=1.0)
    one.surely = answers  # type: ignore[method-assign]
    return one


async def test_an_end_that_is_taken_needs_no_recall() -> None:
    """It says that its request was sent."""
    answers = Answers(b"succeeded")

    assert await book(answers).settle_sent(END, SENT, sent_at=0.0) == Settled(State.SUCCEEDED)
    assert answers.asked == [recalling.as_sent(END)]


async def test_a_forgotten_request_is_recalled_with_its_age_in_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """And its end settled then."""
    monkeypatch.setattr(books.time, "monotonic", lambda: 101.25)
    answers = Answers(b"forgotten", [b"recalled"], b"succeeded")

    settled = await book(answers).settle_sent(END, SENT, sent_at=100.0)

    assert settled == Settled(State.SUCCEEDED, recalled=True)
    assert answers.asked == [
        recalling.as_sent(END),
        recalling.recall(recalling.as_sent(END), SENT, sent_ms_ago=1_250),
        recalling.as_sent(END),
    ]


@pytest.mark.parametrize(
    ("answer", "settled"),
    [
        ([b"surplus", b"9"], Settled(None, surplus=True, other=9)),
        ([b"dead"], Settled(State.DEAD)),
        ([b"lost"], Settled(None)),
    ],
)
async def test_what_is_not_to_be_settled_any_more_ends_there(answer: list[bytes], settled: Settled) -> None:
    """The ledger has decided already."""
    answers = Answers(b"forgotten", answer)

    assert await book(answers).settle_sent(END, SENT, sent_at=0.0) == settled
    assert len(answers.asked) == 2


async def test_a_ledger_that_forgets_again_and_again_is_given_up() -> None:
    """After five times."""
    answers = Answers(*[b"forgotten", [b"recalled"]] * 6)

    with pytest.raises(LedgerUnavailable, match="again and again"):
        await book(answers).settle_sent(END, SENT, sent_at=0.0)

    assert len(answers.asked) == 10


async def everything_else() -> None:
    """Until what was begun beside it is done."""
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})


@pytest.mark.parametrize(("late_s", "late_ms"), [(0.05, 50), (2.5, 2_500), (0.0501, 51)])
async def test_a_late_leaving_is_told_in_milliseconds(late_s: float, late_ms: int) -> None:
    """None of them too few."""
    answers = Answers(1)

    book(answers).left_late("acme", counted_at=5, late_s=late_s)
    await everything_else()

    assert answers.asked == [Call("late", ("acme", 5, late_ms))]

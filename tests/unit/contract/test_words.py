"""Words that leave this software: stored by the ledger, shown to people, read by other applications."""

import pytest

from oppsync_worker.contract import failures, names
from oppsync_worker.contract.errors import FieldProblem, InvalidJob, JobConflict, JobConflicts, Unreadable, told
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.contract.wire import EMBED, ORIGIN
from oppsync_worker.tasks import failure_of

CAUSES = {
    *("rejected", "refused", "exhausted", "invalid", "unknown_task", "undecodable"),
    *("malformed", "oversized", "poison", "conflict", "lost", "internal"),
}


def test_states_are_stored_under_these_words() -> None:
    """Another one would not be found in any ledger that is there."""
    assert " ".join(one.value for one in State) == (
        "unknown queued sending scheduled waiting held blocked in_doubt succeeded dead discarded merged expired"
    )
    assert {one.value for one in State if one.is_terminal} == {"succeeded", "dead", "discarded", "merged", "expired"}


def test_causes_are_stored_under_these_words() -> None:
    """Filters and scripts of operators know them."""
    assert {one.value for one in Cause} == CAUSES


def test_every_cause_has_its_failure() -> None:
    """The ledger writes the class's name into the result: other applications catch it by that."""
    assert {failure_of(one).__name__ for one in Cause} == {
        "Job" + "".join(part.capitalize() for part in one.split("_")) for one in CAUSES
    }
    assert issubclass(failures.JobDiscarded, failures.JobFailed)


def test_names_and_bounds_that_others_know() -> None:
    """The wire's version, the result's key, sizes in bytes, tasks and queues."""
    assert (names.CONTRACT_VERSION, names.RESULT_KEY_PREFIX) == (1, "celery-task-meta-")
    assert (names.MAX_JOB_BYTES, names.MAX_MESSAGE_BYTES) == (65_536, 262_144)
    assert (names.MAX_NESTED, names.MAX_FIELDS) == (32, 64)
    assert [one.value for one in names.Kind] == ["opportunities.create", "opportunities.update"]
    assert [one.queue for one in names.Lane] == ["opportunities.interactive", "opportunities.bulk"]
    assert ("oppsync", dict.fromkeys(["callbacks", "errbacks", "chain", "chord"])) == (ORIGIN, EMBED)


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [("abc", 3, "abc"), ("abcd", 3, "abc..."), ("a\nb", 9, "a\\nb"), ("é\x00", 9, "é\\x00"), ("", 0, "")],
)
def test_a_stranger_s_text_is_one_bounded_line(text: str, most: int, shown: str) -> None:
    """What can be printed stays as it is."""
    assert told(text, most) == shown


def test_a_problem_names_its_field_if_it_has_one() -> None:
    """And an invalid job all of them."""
    problems = (FieldProblem("fields.a", "is wrong"), FieldProblem("", "and 2 more"))
    error = InvalidJob(problems)

    assert str(error) == "fields.a: is wrong; and 2 more"
    assert error.problems == problems


def conflict(reason: str, job_id: str = "j2") -> JobConflict:
    """Of two creates."""
    asked, stands = "opportunities.create for instance 'acme'", "opportunities.update for instance 'b'"
    return JobConflict(job_id, "j1", reason, asked=asked, stands=stands)


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        (
            "id",
            (
                "the id j2 is taken by a job that stands as opportunities.update for instance 'b'; this one"
                " (opportunities.create for instance 'acme') asks for something else: give it an id of its own"
            ),
        ),
        (
            "key",
            (
                "job j2 (opportunities.create for instance 'acme') bears the idempotency key of job j1"
                " (opportunities.update for instance 'b'), which asks for something else: give it a key of its own"
            ),
        ),
        (
            "discarded",
            (
                "job j2 (opportunities.create for instance 'acme') bears the idempotency key of job j1"
                " (opportunities.update for instance 'b'), which asked for the same and was discarded by a person: if"
                " it is to be done after all, give it another key"
            ),
        ),
    ],
)
def test_a_conflict_tells_both_jobs_and_what_to_do(reason: str, says: str) -> None:
    """By the three ways to conflict."""
    error = conflict(reason)

    assert str(error) == says
    assert (error.job_id, error.standing, error.reason) == ("j2", "j1", reason)


@pytest.mark.parametrize(("count", "more"), [(1, ""), (2, " (and 1 more)"), (3, " (and 2 more)")])
def test_conflicts_tell_how_many_and_the_first(count: int, more: str) -> None:
    """Of how many jobs."""
    conflicts = tuple(conflict("id", f"j{number}") for number in range(count))
    ids = (*[None] * count, "a")

    error = JobConflicts(conflicts, ids)

    assert str(error) == f"{count} of {count + 1} jobs were refused: {conflicts[0]}{more}"
    assert (error.conflicts, error.job_ids) == (conflicts, ids)


def test_an_unreadable_message_bears_its_cause_and_task() -> None:
    """No task, where none could be read."""
    assert Unreadable(Cause.MALFORMED, "words").task == ""
    error = Unreadable(Cause.MALFORMED, "words", task="x")
    assert (error.cause, str(error), error.task) == (Cause.MALFORMED, "words", "x")

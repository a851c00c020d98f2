"""Elements made to hurt, drawn from the seed."""

import json
from collections import Counter
from random import Random

import pytest

from oppsync_ops.prove.hostile import FAMILIES, draw_hostile
from oppsync_ops.prove.load import draw_jobs
from oppsync_worker.contract.errors import InvalidJob, NotAJob
from oppsync_worker.contract.wire import read_message

JOBS = draw_jobs(7, 300, leads=True, killer=False)
DRAWN = draw_hostile(7, 300, JOBS)


def test_the_same_seed_draws_the_same_elements() -> None:
    """And another seed others."""
    assert draw_hostile(7, 300, JOBS) == DRAWN
    assert draw_hostile(8, 300, JOBS) != DRAWN


def test_there_is_one_of_every_family_however_short_the_run() -> None:
    """And one that bears the id of a good job of ours."""
    kinds = Counter(one.name.partition("(")[2].rstrip(")") for one in DRAWN)
    own = {job.job_id for job in JOBS if not job.foreign}

    assert set(kinds) == {*FAMILIES, "the id of another job"}
    assert {one.borrows for one in DRAWN if one.borrows} <= own
    assert [one.at for one in DRAWN] == sorted(one.at for one in DRAWN)


def test_no_two_elements_have_the_same_bytes() -> None:
    """A dead letter is told by its bytes."""
    many = draw_hostile(3, 10_000, JOBS)

    assert len({one.raw for one in many}) == len(many)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_family_ever_draws_a_good_job(family: str) -> None:
    """Or its right end would not be a dead letter."""
    for turn in range(15):
        raw = FAMILIES[family](Random(f"{family}/{turn}"), f"hostile-{turn}")

        with pytest.raises((NotAJob, InvalidJob, UnicodeDecodeError)):
            read_message(raw)


def test_a_borrowed_id_comes_after_the_job_that_it_belongs_to() -> None:
    """It is to be the second of its id, not the first."""
    at = {job.job_id: job.at for job in JOBS}

    assert all(one.at > at[one.borrows] or one.at > 0.95 for one in draw_hostile(5, 5_000, JOBS) if one.borrows)


def test_lone_surrogates_travel_as_json_escapes() -> None:
    """Bytes that are no UTF-8 have a family of their own."""
    raw = FAMILIES["a lone surrogate in a field"](Random(1), "hostile-1")

    assert raw.isascii()
    assert json.loads(raw)["headers"]["id"] == "hostile-1"

"""`oppsync doubt`: what is in doubt, what the CRM showed of it, and what a person decides."""

import json
from typing import Any

import pytest
from redis import Redis

from integration.cli.lives import Command, Lives, answer
from oppsync_worker.ledger import ends, keys, looking
from oppsync_worker.ledger.promoting import promoted
from oppsync_worker.ledger.scripts import run
from stage import eventually, time_passes, told

SIGHTING = {
    "grade": "probable",
    "marker": "undeclared",
    "same": {"title": True, "value": False, "user": True, "column": True, "lead": None},
    "id": 4711,
    "value": "350.50",
    "crm_column": 130,
    "createDate": "2026-01-02T03:04:05.000Z",
}


def undecided(lives: Lives, *sightings: dict[str, Any], **fields: Any) -> str:
    """A create in doubt that a person must decide."""
    run(lives.client, told("acme", probe_ms=0))
    job = lives.create(**fields)
    hand = lives.begin(job)
    run(lives.client, told("acme", probe_ms=0))
    run(lives.client, ends.doubt(hand, attempt=lives.attempt(status=None, error="AnswerLost", message="reset")))
    looks = eventually(lambda: promoted(run(lives.client, time_passes(takes=1))).looks)
    line = json.dumps({"at": "2026-01-02T03:04:05Z", "event": "look_up", "list": "lead", "saw": "may be there"})
    told_of = looking.Told(line, ends.NOTHING, sightings=json.dumps(sightings) if sightings else None)
    call = looking.ask_person(looks[0], told_of, inquiry="{}", why="record 4711 fits in everything")
    assert run(lives.client, call) == b"in_doubt"
    return job.job_id


def test_the_list_tells_what_is_done_about_each(command: Command, lives: Lives) -> None:
    """Looked for, or a person's."""
    looked_for, persons = lives.in_doubt(), undecided(lives)

    rows = answer(command("doubt", "list", "--json"))

    assert [(row["job_id"], row["needs_a_person"], bool(row["next_look"])) for row in rows] == [
        (looked_for, False, True),
        (persons, True, False),
    ]
    assert [row["job_id"] for row in answer(command("doubt", "list", "--mine", "--json"))] == [persons]
    shown = command("doubt", "list").stdout
    assert "a person decides" in shown
    assert "a look in" in shown


def test_show_puts_the_records_beside_the_job(command: Command, lives: Lives) -> None:
    """Ids, amounts, times and what agrees; the job's words only when asked for."""
    job_id = undecided(
        lives, SIGHTING, {**SIGHTING, "id": 4712, "grade": "unsure"}, title="Casa de João", value="350.50"
    )

    result = command("doubt", "show", job_id)

    assert result.exit_code == 0
    for said in ("RECORD 4711", "RECORD 4712", "probable", "350.50 different", "looked in the lead's list"):
        assert said in result.stdout
    assert f"oppsync doubt adopt {job_id} RECORD" in result.stdout
    assert "João" not in result.stdout
    assert "Casa de João" in command("doubt", "show", job_id, "--reveal").stdout
    (whole,) = answer(command("doubt", "show", job_id, "--json"))
    assert [one["id"] for one in whole["sightings"]] == [4711, 4712]


def test_adopting_makes_it_a_success(command: Command, lives: Lives) -> None:
    """With what is known of the record, and its updates go on."""
    job_id = undecided(lives, SIGHTING, external_ref="r")

    result = command("doubt", "adopt", job_id, 4711)

    assert (result.exit_code, lives.state(job_id)) == (0, "succeeded")
    (found,) = answer(command("job", "show", job_id, "--json"))
    assert (found["opportunity_id"], found["record"]["value"]) == (4711, "350.50")
    assert "adopted by" in command("job", "show", job_id).stdout
    assert lives.client.hget(keys.references("acme"), "r") == b"4711"


def test_a_record_of_another_job_takes_a_second_word(command: Command, lives: Lives) -> None:
    """Two jobs with one record are rarely meant."""
    first, second = undecided(lives), undecided(lives)
    assert command("doubt", "adopt", first, 4711).exit_code == 0

    refused = command("doubt", "adopt", second, 4711)

    assert refused.exit_code == 1
    assert f"record 4711 was made by job {first}" in refused.stderr
    assert lives.state(second) == "in_doubt"
    assert command("doubt", "adopt", second, 4711, "--though-taken").exit_code == 0


def test_resending_sends_it_again(command: Command, lives: Lives) -> None:
    """By somebody, as the history says."""
    job_id = undecided(lives)

    result = command("doubt", "resend", job_id)

    assert (result.exit_code, result.stdout) == (0, "1 were sent again\n")
    run(lives.client, time_passes())
    assert lives.state(job_id) == "queued"
    assert "resent by" in command("job", "show", job_id).stdout


def test_one_that_is_still_looked_for_is_left_alone(command: Command, lives: Lives) -> None:
    """Unless it is forced."""
    job_id = lives.in_doubt()

    result = command("doubt", "resend", job_id)

    assert (result.exit_code, lives.state(job_id)) == (1, "in_doubt")
    assert "1 not: still looked for" in result.stderr
    assert command("doubt", "resend", job_id, "--force").exit_code == 0


@pytest.mark.parametrize(("verb", "state"), [("resend", "scheduled"), ("discard", "discarded")])
def test_more_than_one_is_only_told_at_first(command: Command, lives: Lives, verb: str, state: str) -> None:
    """With the command that does it; and only those that wait for a person."""
    jobs = [undecided(lives), undecided(lives)]
    looked_for = lives.in_doubt()

    plan = command("doubt", verb, "--instance", "acme", "--json")

    assert answer(plan)["selected"] == 2
    assert answer(plan)["command"] == f"oppsync doubt {verb} --instance acme --yes"
    assert [lives.state(job) for job in jobs] == ["in_doubt", "in_doubt"]
    assert command("doubt", verb, "--all", "--yes").exit_code == 0
    assert [lives.state(job) for job in [*jobs, looked_for]] == [state, state, "in_doubt"]


def test_looking_again_gives_it_back_to_the_workers(command: Command, lives: Lives, ledger: Redis) -> None:
    """At once."""
    job_id = undecided(lives)

    assert command("doubt", "look", job_id).exit_code == 0

    assert ledger.zscore(keys.PROBES, job_id) is not None
    assert not answer(command("doubt", "list", "--json"))[0]["needs_a_person"]


@pytest.mark.parametrize(
    "args", [("show",), ("adopt", "4711"), ("resend",), ("discard",), ("look",)], ids=lambda a: a[0]
)
def test_a_job_that_is_not_in_doubt_is_named(command: Command, lives: Lives, args: tuple[str, ...]) -> None:
    """With the state that it is in."""
    job_id = lives.dead()
    verb, *more = args

    result = command("doubt", verb, job_id, *more)

    assert result.exit_code == 1
    assert "dead" in result.stderr or "not in doubt" in result.stderr
    assert lives.state(job_id) == "dead"


def test_something_must_be_chosen(command: Command) -> None:
    """Nothing is done to everything by accident."""
    result = command("doubt", "resend")

    assert result.exit_code == 2
    assert "say which doubts" in result.stderr


def test_status_tells_how_many_wait_for_a_person(command: Command, lives: Lives) -> None:
    """And how to see them."""
    undecided(lives)
    lives.in_doubt()

    assert answer(command("status", "--json"))["undecided"] == 1
    assert "1 wait for a person" in command("status").stdout

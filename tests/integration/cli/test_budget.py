"""`oppsync budget`: the pace of an instance, what throttles taught, and ending its pauses."""

import pytest
from redis import Redis

from integration.cli.lives import Command, Lives, answer
from oppsync_worker.ledger import ends, keys, operating
from oppsync_worker.ledger.scripts import run
from stage import told


@pytest.fixture
def throttled(lives: Lives) -> Lives:
    """An instance that was told of a limit of 40, and pauses for ten minutes."""
    job = lives.create()
    hand = lives.begin(job)
    run(lives.client, told("acme", requests=60, concurrency=2, learned_least=12, learned_ms=3_600_000))
    run(lives.client, ends.wait(hand, cool_down_ms=600_000, limit=40, attempt=lives.attempt(status=401)))
    return lives


@pytest.mark.usefixtures("throttled")
def test_it_shows_pace_limit_and_pause(command: Command) -> None:
    """Of all instances or of one; for a person and for a program."""
    (everything,) = answer(command("budget", "show", "--json"))
    (one,) = answer(command("budget", "show", "acme", "--json"))
    text = command("budget", "show", "acme")

    assert everything.keys() == one.keys()
    assert (one["instance"], one["requests"], one["window_seconds"]) == ("acme", 60, 60)
    assert (one["learned_requests"], one["learned_from_limit"]) == (36, 40)
    assert one["learned_until"]
    assert one["cooling_down_until"]
    assert (one["waiting"], one["look_ups_waiting"], one["refusals"], one["refused_jobs"]) == (1, 0, 0, [])
    assert "60 / 60 s" in text.stdout
    assert "36 (limite 40) until " in text.stdout


def test_it_shows_who_was_refused(command: Command, lives: Lives) -> None:
    """Since the last success."""
    job = lives.create()
    lives.settled(job, lambda hand: ends.refuse_credential(hand, fingerprint="f", attempt=lives.attempt(status=403)))

    (one,) = answer(command("budget", "show", "acme", "--json"))

    assert (one["refusals"], one["refused_jobs"]) == (1, [job.job_id])


@pytest.mark.usefixtures("throttled")
def test_a_pause_is_ended_once_and_a_rehearsal_ends_nothing(command: Command, ledger: Redis) -> None:
    """In plain words."""
    rehearsed = command("budget", "resume", "acme", "--dry-run")
    assert ledger.hexists(keys.budget("acme"), "cool_until")
    done = answer(command("budget", "resume", "acme", "--json"))
    again = command("budget", "resume", "acme")

    assert rehearsed.stdout.startswith("acme: would be ended: its cool-down until ")
    assert (rehearsed.exit_code, again.exit_code) == (0, 0)
    assert (done["instance"], done["dry_run"], len(done["ended"])) == ("acme", False, 1)
    assert not ledger.hexists(keys.budget("acme"), "cool_until")
    assert again.stdout == "acme is not paused\n"


@pytest.mark.usefixtures("throttled")
def test_what_was_learned_is_forgotten(command: Command, ledger: Redis) -> None:
    """The pause stays."""
    rehearsed = command("budget", "forget", "acme", "--dry-run")
    done = command("budget", "forget", "acme")
    again = command("budget", "forget", "acme")

    assert rehearsed.stdout == "acme: would be forgotten: the limit of 36 requests that it was taught\n"
    assert done.stdout == "acme: forgotten: the limit of 36 requests that it was taught\n"
    assert again.stdout == "acme has been taught no limit\n"
    assert ledger.hexists(keys.budget("acme"), "cool_until")


@pytest.mark.usefixtures("throttled")
def test_a_hold_is_said_not_lifted(command: Command, ledger: Redis) -> None:
    """Who ends a pause would wonder why nothing goes."""
    run(ledger, operating.hold("acme", cause="operator", note=""))

    result = command("budget", "resume", "acme")

    assert "`oppsync hold release acme`" in result.stderr
    assert ledger.exists(keys.hold("acme"))


@pytest.mark.parametrize("verb", ["show", "resume", "forget"])
def test_an_instance_that_nobody_knows_is_bad_news(command: Command, ledger: Redis, verb: str) -> None:
    """And nothing is written of it."""
    result = command("budget", verb, "globex")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "no worker has ever told of an instance 'globex'" in result.stderr
    assert not ledger.exists(keys.budget("globex"))


@pytest.mark.parametrize("verb", ["show", "resume", "forget"])
def test_it_needs_an_instances_name(command: Command, verb: str) -> None:
    """Anything else is a wrong use."""
    assert command("budget", verb, "https://acme").exit_code == 2


def test_without_any_worker_there_is_nothing_to_show(command: Command) -> None:
    """Which is no error."""
    result = command("budget", "show")

    assert (result.exit_code, result.stdout) == (0, "no worker has told of any instance yet\n")

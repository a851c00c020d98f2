"""`oppsync job` explains a job in every state it can be in."""

from typing import Any

from redis import Redis

from integration.cli.lives import Command, Lives, answer
from oppsync_worker.ledger import begin, ends, operating
from oppsync_worker.ledger.scripts import run
from stage import told


def shown(command: Command, job_id: str) -> dict[str, Any]:
    """The one job of `job show --json`."""
    (found,) = answer(command("job", "show", job_id, "--json"))
    return dict(found)


def test_unknown(command: Command) -> None:
    """Bad news, with the three reasons for it."""
    result = command("job", "show", "nobody")

    assert result.exit_code == 1
    assert "no such job" in result.stdout


def test_queued(command: Command, lives: Lives) -> None:
    """A worker takes it; nothing personal is shown."""
    job = lives.create()

    result = command("job", "show", job.job_id)

    assert result.exit_code == 0
    assert "queued" in result.stdout
    assert "a worker takes it; 1 in its lane" in result.stdout
    assert "João" not in result.stdout


def test_sending(command: Command, lives: Lives) -> None:
    """Which attempt, on which worker, and what happens should that fall silent."""
    job = lives.create()
    lives.begin(job)

    found = shown(command, job.job_id)

    assert found["state"] == "sending"
    assert "attempt 1 is under way on the worker worker-1" in found["next"]["text"]
    assert "in doubt" in found["next"]["text"]
    assert found["next"]["at"]


def test_sending_on_a_silent_worker(command: Command, lives: Lives, ledger: Redis) -> None:
    """A lease that ran out is named as such."""
    job = lives.update()
    hand = lives.begin(job)
    ledger.zadd("oppsync:leases", {hand.tag: 1})

    assert "queued again" in shown(command, job.job_id)["next"]["text"]
    assert "fell silent" in shown(command, job.job_id)["next"]["text"]


def test_scheduled(command: Command, lives: Lives) -> None:
    """The history says what failed, the next step when it is tried again."""
    job = lives.create()
    attempt = lives.attempt(status=None, error="NotSent", message="connection refused")
    lives.settled(job, lambda hand: ends.reschedule(hand, delay_ms=60_000, attempt=attempt))

    result = command("job", "show", job.job_id)

    assert result.exit_code == 0
    assert "scheduled" in result.stdout
    assert "UTC (in " in result.stdout
    assert "attempt 1, 120 ms, NotSent, connection refused" in result.stdout


def test_waiting(command: Command, lives: Lives, ledger: Redis) -> None:
    """Its place in the line, the cool-down, and an estimate."""
    hands = [lives.hand(first := lives.create()), lives.hand(second := lives.create())]
    run(ledger, told("acme", requests=45))
    run(ledger, begin.begin(hands[0], first, horizon_ms=250, number=1))
    run(ledger, ends.wait(hands[0], cool_down_ms=60_000, limit=None, attempt=lives.attempt(error="Throttled")))
    run(ledger, begin.begin(hands[1], second, horizon_ms=250, number=1))

    found = shown(command, second.job_id)

    assert found["state"] == "waiting"
    assert "1 before it, after the cool-down" in found["next"]["text"]
    assert found["next"]["at"]


def test_held_by_an_operator(command: Command, lives: Lives, ledger: Redis) -> None:
    """The command that lets it go on."""
    run(ledger, operating.hold("acme", cause="operator", note="CRM maintenance"))
    job = lives.create()

    found = shown(command, job.job_id)

    assert found["state"] == "held"
    assert "oppsync hold release acme" in found["next"]["text"]


def test_held_for_want_of_settings(command: Command, lives: Lives) -> None:
    """No worker knows the instance: no command helps, a worker does."""
    job = lives.create()
    hand = lives.hand(job)
    run(lives.client, ends.hold_unknown_instance(hand, kind=job.kind, instance=job.instance, lane=job.lane))

    assert "waits for a worker that has settings" in shown(command, job.job_id)["next"]["text"]


def test_blocked(command: Command, lives: Lives) -> None:
    """The key that it waits for."""
    job = lives.update(opportunity_id=None, external_ref="order-7")

    found = shown(command, job.job_id)

    assert found["state"] == "blocked"
    assert "'order-7'" in found["next"]["text"]


def test_in_doubt(command: Command, lives: Lives) -> None:
    """Workers look for its record, and when they do."""
    step = shown(command, lives.in_doubt())["next"]

    assert "workers look for its record in the CRM" in step["text"]
    assert step["at"]


def test_dead(command: Command, lives: Lives) -> None:
    """Bad news, why, and the two commands that come next."""
    job_id = lives.dead()

    result = command("job", "show", job_id)

    assert result.exit_code == 1
    assert "rejected: HTTP 422: crm_column is unknown" in result.stdout
    assert f"oppsync dead replay {job_id}" in result.stdout


def test_succeeded(command: Command, lives: Lives) -> None:
    """The record's id, and when the ledger forgets the job."""
    found = shown(command, lives.succeeded())

    assert (found["state"], found["opportunity_id"]) == ("succeeded", 99)
    assert found["forgotten_at"]


def test_several_at_once(command: Command, lives: Lives) -> None:
    """One bad one is bad news for all."""
    good, bad = lives.succeeded(), lives.dead()

    result = command("job", "show", good, bad, "--json")

    assert result.exit_code == 1
    assert [found["job_id"] for found in answer(result)] == [good, bad]


def test_a_foreign_message_that_nobody_has_seen_is_unknown(command: Command, ledger: Redis) -> None:
    """What another application pushed has no entry until a worker looks at it."""
    ledger.lpush("opportunities.bulk", "{}")

    assert command("job", "show", "foreign").exit_code == 1


def test_wait_for_a_success(command: Command, lives: Lives) -> None:
    """The outcome in one line."""
    result = command("job", "wait", lives.succeeded())

    assert (result.exit_code, result.stdout) == (0, "succeeded, opportunity 99\n")


def test_wait_for_a_death(command: Command, lives: Lives) -> None:
    """Bad news."""
    result = command("job", "wait", lives.dead(), "--json")

    assert result.exit_code == 1
    assert answer(result)["cause"] == "rejected"


def test_wait_that_runs_out(command: Command, lives: Lives) -> None:
    """Says where the job is."""
    job = lives.create()

    result = command("job", "wait", job.job_id, "--timeout", "0")

    assert result.exit_code == 1
    assert result.stderr == f"oppsync: job {job.job_id} is queued after 0 s\n"


def test_a_claim_that_was_never_begun_is_still_queued(command: Command, lives: Lives) -> None:
    """Its lane is empty, so a worker has just taken it."""
    job = lives.create()
    lives.claim()

    assert "has just taken it" in shown(command, job.job_id)["next"]["text"]


def test_a_job_that_waits_for_something_can_be_dropped(command: Command, lives: Lives) -> None:
    """Whatever it waits for."""
    blocked = lives.update(opportunity_id=None, external_ref="nobody")
    scheduled = lives.create(not_before="2100-01-01T00:00:00Z")
    assert lives.state(blocked.job_id) == "blocked"

    plan = command("job", "discard", blocked.job_id, scheduled.job_id)
    one = command("job", "discard", blocked.job_id)

    assert (plan.exit_code, lives.state(scheduled.job_id)) == (0, "scheduled")
    assert "nothing was done" in plan.stdout
    assert (one.exit_code, lives.state(blocked.job_id)) == (0, "discarded")
    assert command("job", "discard", scheduled.job_id, lives.in_doubt(), "--yes").stdout == "2 discarded\n"


def test_a_job_in_somebodys_hands_cannot(command: Command, lives: Lives) -> None:
    """Its message would still be delivered."""
    queued = lives.create()

    result = command("job", "discard", queued.job_id, "--json")

    assert (result.exit_code, answer(result)["refused"]) == (1, {"queued": 1})
    assert lives.state(queued.job_id) == "queued"

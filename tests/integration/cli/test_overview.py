"""Holds, doubts, instances and the one screen."""

from pathlib import Path

import pytest
from redis import Redis

from integration.cli.lives import Command, Lives, answer
from oppsync_worker.ledger import begin, ends, keys, operating, presence
from oppsync_worker.ledger.scripts import run
from stage import time_passes, told

SETTINGS = """
[acme]
token = "s3cret-acme"
base_url = "https://crm.example:8443/api"
[acme.budget]
requests = 30
window_seconds = 60

[globex]
token = "s3cret-globex"
bearer = "s3cret-bearer"
"""


@pytest.fixture
def settings(bare_command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two instances."""
    del bare_command
    file = tmp_path / "instances.toml"
    file.write_text(SETTINGS, "utf-8")
    monkeypatch.setenv("SPRINTHUB_INSTANCES_FILE", str(file))


def test_a_hold_is_set_listed_and_released(command: Command, lives: Lives) -> None:
    """With its note and the number of jobs that it keeps."""
    first = command("hold", "set", "acme", "--note", "CRM maintenance")
    lives.create()
    (listed,) = answer(command("hold", "list", "--json"))
    again = command("hold", "set", "acme")
    released = command("hold", "release", "acme")

    assert (first.exit_code, first.stdout) == (0, "acme is on hold\n")
    assert (listed["instance"], listed["cause"], listed["held"]) == ("acme", "operator", 1)
    assert listed["note"].startswith("CRM maintenance (")
    assert listed["since"]
    assert "it was before" in again.stdout
    assert (released.exit_code, released.stdout) == (0, "acme is released; 1 held jobs go on\n")
    (left,) = answer(command("hold", "list", "--json"))
    assert (left["cause"], left["held"]) == ("releasing", 1)
    run(lives.client, time_passes())
    assert command("hold", "list").stdout == "no instance is on hold\n"


def test_releasing_what_is_not_held_is_bad_news(command: Command) -> None:
    """Nothing was done."""
    result = command("hold", "release", "acme")

    assert (result.exit_code, result.stdout) == (1, "acme is not on hold\n")


def test_jobs_of_an_unknown_instance_are_listed_as_held(command: Command, lives: Lives) -> None:
    """There is no hold to release, and the answer says what is needed instead."""
    job = lives.create()
    hand = lives.hand(job)
    run(lives.client, ends.hold_unknown_instance(hand, kind=job.kind, instance=job.instance, lane=job.lane))

    (listed,) = answer(command("hold", "list", "--json"))
    released = command("hold", "release", "acme")

    assert (listed["cause"], listed["held"]) == ("unknown_instance", 1)
    assert released.exit_code == 1
    assert "wait for a worker that has settings" in released.stderr


@pytest.mark.parametrize("verb", ["set", "release"])
def test_a_hold_needs_an_instances_name(command: Command, verb: str) -> None:
    """Anything else is a wrong use."""
    assert command("hold", verb, "https://acme").exit_code == 2


def test_doubts_are_listed_with_the_attempt_that_lost_its_answer(command: Command, lives: Lives) -> None:
    """Oldest first; as a table and as JSON."""
    first, second = lives.in_doubt(external_ref="order-7"), lives.in_doubt(instance="globex")

    found = answer(command("doubt", "list", "--json"))
    text = command("doubt", "list", "--instance", "globex")

    assert [one["job_id"] for one in found] == [first, second]
    assert (found[0]["attempt"], found[0]["cause"], found[0]["external_ref"]) == (1, "answer_lost", "order-7")
    assert found[0]["detail"] == "the connection was reset"
    assert first not in text.stdout
    assert second in text.stdout


def test_no_doubt_is_good_news(command: Command) -> None:
    """Exit code 0."""
    result = command("doubt", "list")

    assert (result.exit_code, result.stdout) == (0, "no create is in doubt\n")


def test_a_long_list_of_doubts_is_cut_and_says_so(command: Command, lives: Lives) -> None:
    """On stderr."""
    lives.in_doubt()
    lives.in_doubt()

    result = command("doubt", "list", "--limit", "1", "--json")

    assert len(answer(result)) == 1
    assert "more than these 1" in result.stderr


@pytest.mark.usefixtures("settings")
def test_instances_show_live_budgets_and_no_secret(command: Command, lives: Lives, ledger: Redis) -> None:
    """Whether there is a token, not which."""
    job = lives.create()
    run(ledger, told("acme", requests=30, concurrency=2))
    hand = lives.hand(job)
    run(ledger, begin.begin(hand, job, horizon_ms=250, number=1))
    throttled = lives.attempt(error="Throttled", status=401)
    run(ledger, ends.wait(hand, cool_down_ms=60_000, limit=20, attempt=throttled))
    run(ledger, operating.hold("acme", cause="operator", note=""))

    result = command("instances", "--json")
    text = command("instances")

    acme, globex = answer(result)
    assert result.exit_code == 0
    assert (acme["name"], acme["address"], acme["token_configured"]) == ("acme", "https://crm.example:8443", True)
    assert acme["budget"] == {"requests": 30, "window_seconds": 60.0, "concurrency": 2, "cool_down_seconds": 65.0}
    assert (acme["live"]["waiting"], acme["live"]["learned_requests"], acme["live"]["hold"]) == (1, 18, "operator")
    assert acme["live"]["cooling_down_until"]
    assert (globex["bearer_configured"], globex["live"]["announced"]) == (True, False)
    assert "s3cret" not in result.output + text.output


@pytest.mark.usefixtures("settings")
def test_calls_in_flight_are_counted(command: Command, lives: Lives, ledger: Redis) -> None:
    """Until they are over."""
    job = lives.create()
    hand = lives.hand(job)
    run(ledger, told("acme", concurrency=2))
    run(ledger, begin.begin(hand, job, horizon_ms=250, number=1))

    assert answer(command("instances", "--json"))[0]["live"]["in_flight"] == 1


@pytest.mark.usefixtures("settings")
def test_instances_without_redis_are_shown_all_the_same(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings on stdout, the trouble on stderr, exit code 1."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")

    result = command("instances", "--json")

    assert result.exit_code == 1
    assert [one["live"] for one in answer(result)] == [None, None]
    assert result.stderr.startswith("oppsync: Redis is not answering")


def test_instances_without_settings_is_a_wrong_use(command: Command) -> None:
    """What to set is said."""
    result = command("instances")

    assert result.exit_code == 2
    assert "SPRINTHUB_INSTANCE" in result.stderr


def test_status_counts_every_place(command: Command, lives: Lives, ledger: Redis) -> None:
    """One object with all of it; one screen of text."""
    lives.dead()
    lives.in_doubt()
    lives.update(opportunity_id=None, external_ref="order-7")
    lives.create(not_before="2999-01-01T00:00:00Z")
    run(ledger, operating.hold("globex", cause="operator", note="n"))
    lives.create(instance="globex")
    sending = lives.create()
    hand = lives.begin(sending)
    lives.create(lane="bulk")
    ledger.zadd("oppsync:leases", {hand.tag: 1})
    run(ledger, presence.present("host:1"))

    found = answer(command("status", "--json"))
    text = command("status")

    assert found["lanes"] == {"opportunities.interactive": 0, "opportunities.bulk": 1}
    assert found["leases"] == {"jobs": 1, "overdue": 1}
    assert {name: found[name]["jobs"] for name in ("schedule", "blocked", "in_doubt", "dead")} == {
        "schedule": 1,
        "blocked": 1,
        "in_doubt": 1,
        "dead": 1,
    }
    assert found["held"] == {"globex": 1}
    assert found["holds"][0]["cause"] == "operator"
    assert found["workers"] == ["host:1"]
    assert found["redis"]["append_only_file"] is True
    assert text.exit_code == 0
    assert len(text.stdout.splitlines()) <= 24


def test_status_counts_those_who_wait_by_instance(command: Command, lives: Lives, ledger: Redis) -> None:
    """The place that grows when a budget is small."""
    run(ledger, told("acme", requests=1))
    for _ in range(3):
        lives.create()

    assert answer(command("status", "--json"))["waiting"] == {"acme": 2}


def test_status_warns_of_a_redis_that_may_lose_jobs(command: Command, ledger: Redis) -> None:
    """Eviction is for caches."""
    ledger.config_set("maxmemory-policy", "allkeys-lru")
    try:
        result = command("status")
    finally:
        ledger.config_set("maxmemory-policy", "noeviction")

    assert "maxmemory-policy is allkeys-lru" in result.stderr


def test_status_tells_what_sweeps_have_found(command: Command, ledger: Redis) -> None:
    """Figures that must stay 0."""
    assert answer(command("status", "--json"))["strays"] == {}
    ledger.hset(keys.SWEEP, mapping={"began": 1_700_000_000_000, "by": "w:1", "last": 2, "found:lost": 2})

    result = command("status")

    assert "2 lost" in result.stderr
    assert answer(command("status", "--json"))["strays"] == {"lost": 2}


def test_status_and_health_name_whose_key_holds_something_else(command: Command, lives: Lives, ledger: Redis) -> None:
    """Workers met it lately; nobody is served there until it is put right."""
    ledger.zadd("oppsync:broken", {"acme": int(ledger.time()[0]), "long ago": 5})
    lives.create()

    status, health = command("status"), command("health", "--ready")

    for said in (status.stderr, health.stderr):
        assert "acme: one of its keys in Redis holds a value of another type" in said
        assert "long ago" not in said
    assert len(answer(command("status", "--json"))["broken_keys"]) == 1

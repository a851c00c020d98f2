"""`oppsync enqueue create` and `update`."""

import json

import pytest
from redis import Redis

from integration.cli.lives import Command, Lives
from oppsync_worker.contract.jobs import CreateOpportunity, UpdateOpportunity
from oppsync_worker.contract.wire import read_message

LEAST = ("--instance", "acme", "--funnel-id", "7", "--title", "Casa", "--crm-column", "130")


def queued(ledger: Redis, lane: str = "interactive") -> CreateOpportunity | UpdateOpportunity:
    """The one job of a lane."""
    (message,) = ledger.lrange(f"opportunities.{lane}", 0, -1)
    return read_message(message.decode())


def test_create_prints_the_id_of_the_job_it_recorded(command: Command, ledger: Redis) -> None:
    """One line, to be caught in a variable."""
    result = command("enqueue", "create", *LEAST)

    assert result.exit_code == 0
    assert result.stdout == f"{queued(ledger).job_id}\n"


def test_every_field_has_its_option(command: Command, ledger: Redis) -> None:
    """All of them at once, custom fields included."""
    result = command(
        "enqueue", "create", *LEAST, "--value", "1234.56", "--lead-id", "8473", "--sequence", "0", "--status", "gain",
        "--expected-close-date", "2030-03-21T21:27:00Z", "--user", "3", "--job-id", "mine", "--external-ref", "order 1",
        "--idempotency-key", "k", "--lane", "bulk", "--deadline", "2031-01-01T00:00:00Z",
        "--field", "Origem=site=novo", "--field", " CPF =1",
    )  # fmt: skip

    job = queued(ledger, "bulk")
    assert result.exit_code == 0
    assert (job.job_id, str(job.value), job.lead_id, job.sequence, job.status) == ("mine", "1234.56", 8473, 0, "gain")
    assert (job.external_ref, job.idempotency_key, job.user) == ("order 1", "k", 3)
    assert job.fields == {"Origem": "site=novo", " CPF ": "1"}


def test_update_needs_a_record(command: Command, ledger: Redis) -> None:
    """By id or by key; without either it is refused in words."""
    good = command(
        "enqueue", "update", "--instance", "acme", "--funnel-id", "7", "--opportunity-id", "5", "--value", "1"
    )
    bad = command("enqueue", "update", "--instance", "acme", "--funnel-id", "7", "--value", "1")

    assert good.exit_code == 0
    assert isinstance(queued(ledger), UpdateOpportunity)
    assert (bad.exit_code, bad.stdout) == (2, "")
    assert "opportunity_id or external_ref" in bad.stderr


def test_problems_name_their_options(command: Command, ledger: Redis) -> None:
    """One line for each, and nothing is sent."""
    result = command("enqueue", "create", "--instance", "not a name", "--funnel-id", "7", "--value", "1,5")

    lines = result.stderr.splitlines()
    assert result.exit_code == 2
    assert all(line.startswith("oppsync: --") for line in lines)
    assert {line.split(":")[1].strip() for line in lines} == {"--instance", "--title", "--crm-column", "--value"}
    assert not ledger.exists("opportunities.interactive")


def test_the_instance_may_come_from_the_environment(
    command: Command, ledger: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does for a worker of one instance."""
    monkeypatch.setenv("SPRINTHUB_INSTANCE", "globex")

    result = command("enqueue", "create", *LEAST[2:])

    assert (result.exit_code, queued(ledger).instance) == (0, "globex")


def test_a_document_and_options_make_one_job(command: Command, ledger: Redis) -> None:
    """An option comes before the document's field, whichever way that is spelt."""
    document = {
        "kind": "create", "instance": "acme", "funnel_id": 7, "title": "Casa", "crm_column": 130,
        "expectedCloseDate": "2030-01-01T00:00:00Z", "fields": {"A": 1, "B": 2},
    }  # fmt: skip

    result = command(
        "enqueue", "create", "--json", "-", "--expected-close-date", "2031-01-01T00:00:00Z", "--field", "B=3",
        stdin=json.dumps(document),
    )  # fmt: skip

    job = queued(ledger)
    assert result.exit_code == 0
    assert job.expected_close_date
    assert (job.expected_close_date.year, job.fields) == (2031, {"A": 1, "B": "3"})


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("{", "--json: must be one JSON object (line 1, column 2)"),
        ("[]", "--json: must be one JSON object"),
        (b"\xff", "--json: must be one JSON object"),
        ('{"kind": "update"}', "kind: must be create"),
        ('{"colour": 1}', "colour: is not a field of this job"),
        ("[" * 100_000, "--json: must be one JSON object"),
        ('{"title": "' + "x" * 300_000, "--json: holds more than"),
    ],
)
def test_a_bad_document_is_a_wrong_use(command: Command, document: str | bytes, said: str) -> None:
    """Refused in one line, without its content."""
    result = command("enqueue", "create", "--json", "-", stdin=document)

    assert result.exit_code == 2
    assert said in result.stderr


def test_a_document_that_is_not_there(command: Command) -> None:
    """A wrong use."""
    assert command("enqueue", "create", "--json", "nowhere.json").exit_code == 2


def test_the_same_key_is_the_same_job(command: Command) -> None:
    """The first job's id again, and a remark beside it."""
    first = command("enqueue", "create", *LEAST, "--idempotency-key", "k")
    second = command("enqueue", "create", *LEAST, "--idempotency-key", "k")

    assert second.stdout == first.stdout
    assert "enqueued before" in second.stderr


@pytest.mark.parametrize("name", ["--idempotency-key", "--job-id"])
def test_another_request_under_a_taken_name_is_a_wrong_use(command: Command, ledger: Redis, name: str) -> None:
    """Never dropped in silence."""
    command("enqueue", "create", *LEAST, name, "k")

    result = command("enqueue", "create", *LEAST, name, "k", "--lead-id", "5")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "asks for something else" in result.stderr
    assert ledger.llen("opportunities.interactive") == 1


def test_waiting_in_vain_still_prints_the_id(command: Command, ledger: Redis) -> None:
    """The job goes on; its id is on stdout, where it is on stderr."""
    result = command("enqueue", "create", *LEAST, "--wait", "0")

    job_id = queued(ledger).job_id
    assert (result.exit_code, result.stdout) == (1, f"{job_id}\n")
    assert result.stderr == f"oppsync: job {job_id} is queued after 0 s\n"


def test_waiting_for_a_job_that_has_ended(command: Command, lives: Lives) -> None:
    """The same id again finds the first job, and its outcome."""
    job_id = lives.succeeded(title="Casa")

    result = command("enqueue", "create", *LEAST, "--job-id", job_id, "--wait", "5")

    assert (result.exit_code, result.stdout) == (0, f"{job_id}\nsucceeded, opportunity 99\n")


def test_when_redis_is_away_the_way_to_repeat_is_told(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer may have been lost: the job's id makes a second try safe."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")

    result = command("enqueue", "create", *LEAST, "--job-id", "one")

    assert result.exit_code == 1
    assert "add --job-id one" in result.stderr
    assert "Redis is not answering" in result.stderr


def test_a_number_that_is_none_is_named(command: Command) -> None:
    """By the option's own check."""
    result = command("enqueue", "create", "--crm-column", "abc")

    assert result.exit_code == 2
    assert "--crm-column" in result.stderr
    assert result.stderr.count("\n") == 1

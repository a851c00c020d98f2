"""`oppsync enqueue file`: all is checked before anything is sent."""

import gzip
from pathlib import Path

import pytest
from redis import Redis

from integration.cli.lives import Command, answer
from oppsync import JobClient
from oppsync.receipts import Receipt
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.wire import read_message
from oppsync_worker.ledger.connect import LedgerUnavailable
from stage import handed_over

HEADER = "instance;funnel_id;title;crm_column;value;fields.Origem\n"


def csv_file(*lines: str, name: str = "jobs.csv") -> Path:
    """A file of creates."""
    path = Path(name)
    path.write_text(HEADER + "".join(f"{line}\n" for line in lines), "utf-8")
    return path


def rows(count: int) -> list[str]:
    """Good lines, all different."""
    return [f"acme;7;Casa {number};130;1.234,5{number % 10};site" for number in range(count)]


def test_a_good_file_is_sent(command: Command, ledger: Redis) -> None:
    """On the bulk lane, each line a job."""
    result = command("enqueue", "file", csv_file(*rows(3)), "--kind", "create")

    assert (result.exit_code, result.stdout) == (0, "3 sent, 0 already known, 0 bad\n")
    assert handed_over(ledger, "bulk") == 3
    job = read_message(ledger.rpop("opportunities.bulk").decode())
    assert (job.title, str(job.value), job.fields) == ("Casa 0", "1234.50", {"Origem": "site"})


def test_the_same_file_again_sends_nothing(command: Command, ledger: Redis) -> None:
    """Its creates are known by their lines, over more than one batch."""
    path = csv_file(*rows(700))
    first = answer(command("enqueue", "file", path, "--kind", "create", "--json"))

    second = answer(command("enqueue", "file", path, "--kind", "create", "--json"))

    assert (first["sent"], first["already_known"], first["complete"]) == (700, 0, True)
    assert (second["sent"], second["already_known"]) == (0, 700)
    assert handed_over(ledger, "bulk") == 700


def test_lines_at_odds_with_other_jobs_are_refused_by_themselves(command: Command, ledger: Redis) -> None:
    """Listed with their lines; all others are sent, and the exit code is bad news."""
    head = "instance;funnel_id;title;crm_column;idempotency_key\n"
    path = Path("jobs.csv")
    path.write_text(head + "acme;7;Casa;130;k-1\nacme;7;Casa;130;k-2\n", "utf-8")
    command("enqueue", "file", path, "--kind", "create")
    path.write_text(head + "acme;7;Casa;130;k-1\nacme;7;Outra casa;130;k-2\nacme;7;Casa;130;k-3\n", "utf-8")

    shown = command("enqueue", "file", path, "--kind", "create")
    told = answer(command("enqueue", "file", path, "--kind", "create", "--json"))

    assert shown.exit_code == 1
    assert "1 sent, 1 already known, 0 bad, 1 refused" in shown.stdout
    assert (told["sent"], told["already_known"], told["refused"]) == (0, 2, 1)
    ((line, field),) = [(one["line"], one["field"]) for one in told["conflicts"]]
    assert (line, field) == (3, "idempotency_key")
    assert handed_over(ledger, "bulk") == 3


def test_one_bad_line_stops_all(command: Command, ledger: Redis) -> None:
    """Line, field and message; exit code 2."""
    path = csv_file(*rows(2), "acme;sete;Casa;130;;")

    result = command("enqueue", "file", path, "--kind", "create")

    assert result.exit_code == 2
    assert "nothing was sent" in result.stdout
    line = next(line for line in result.stdout.splitlines() if "funnel_id" in line)
    assert line.split()[0] == "4"
    assert not ledger.exists("opportunities.bulk")


def test_bad_lines_are_listed_up_to_twenty_and_counted(command: Command) -> None:
    """The rest is a figure."""
    path = csv_file(*(["acme;x;Casa;130;;"] * 25))

    text = command("enqueue", "file", path, "--kind", "create")
    found = answer(command("enqueue", "file", path, "--kind", "create", "--json"))

    assert "and 5 more bad lines" in text.stdout
    assert (len(found["problems"]), found["bad"]) == (20, 25)
    assert found["problems"][0]["line"] == 2
    assert found["problems"][0]["field"] == "funnel_id"


def test_bad_lines_can_be_skipped(command: Command, ledger: Redis) -> None:
    """The good ones go."""
    path = csv_file(*rows(2), "acme;x;Casa;130;;")

    result = command("enqueue", "file", path, "--kind", "create", "--skip-bad")

    assert result.exit_code == 0
    assert "2 sent, 0 already known, 1 bad" in result.stdout
    assert handed_over(ledger, "bulk") == 2


def test_nothing_but_bad_lines_is_bad_news(command: Command) -> None:
    """Skipping all of them is not success."""
    assert command("enqueue", "file", csv_file("acme;x;C;1;;"), "--kind", "create", "--skip-bad").exit_code == 1


def test_a_dry_run_needs_no_redis(bare_command: Command) -> None:
    """It only checks."""
    result = bare_command("enqueue", "file", csv_file(*rows(2)), "--kind", "create", "--dry-run")

    assert (result.exit_code, result.stdout) == (0, "2 good, 0 bad; nothing was sent\n")


def test_values_for_lines_without_them(command: Command, ledger: Redis) -> None:
    """Instance, funnel, lane and anything else by --default; JSON lines, compressed."""
    path = Path("jobs.jsonl.gz")
    path.write_bytes(gzip.compress(b'{"kind": "create", "title": "Casa"}\n'))

    result = command(
        "enqueue", "file", path, "--instance", "acme", "--funnel-id", "7", "--lane", "interactive",
        "--default", "crm_column=130", "--default", "value=R$ 5,00",
    )  # fmt: skip

    job = read_message(ledger.rpop("opportunities.interactive").decode())
    assert result.exit_code == 0
    assert (job.instance, job.funnel_id, job.crm_column, str(job.value)) == ("acme", 7, 130, "5.00")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere.csv"], "does not exist"),
        (["jobs.xlsx"], "does not end in"),
        (["jobs.csv", "--default", "colour=red"], "colour"),
        (["jobs.csv", "--default", "colour"], "FIELD=VALUE"),
        (["jobs.csv", "--instance", "not a name"], "instance"),
        (["jobs.csv"], "kind"),
    ],
)
def test_what_makes_no_sense_as_a_whole(command: Command, args: list[str], said: str) -> None:
    """One line on stderr, exit code 2."""
    csv_file(*rows(1))
    csv_file(*rows(1), name="jobs.xlsx")

    result = command("enqueue", "file", *args)

    assert result.exit_code == 2
    assert result.stderr.startswith("oppsync: ")
    assert said in result.stderr


def test_redis_failing_on_the_way(command: Command, ledger: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many were handed over, that repeating is safe; and it is."""
    path = csv_file(*rows(1200))
    hand_over = JobClient.hand_over

    def failing(self: JobClient, jobs: list[AnyJob]) -> list[Receipt]:
        if handed_over(ledger, "bulk") >= 500:
            raise LedgerUnavailable("Redis is out of memory and refuses writes")
        return hand_over(self, jobs)

    with monkeypatch.context() as patch:
        patch.setattr(JobClient, "hand_over", failing)
        stopped = command("enqueue", "file", path, "--kind", "create", "--json")
    again = command("enqueue", "file", path, "--kind", "create")

    assert stopped.exit_code == 1
    assert (answer(stopped)["sent"], answer(stopped)["complete"]) == (500, False)
    assert "stopped after 500 of 1200 jobs were handed over; to run the same command again is safe" in stopped.stderr
    assert "out of memory" in stopped.stderr
    assert (again.exit_code, again.stdout) == (0, "700 sent, 500 already known, 0 bad\n")
    assert handed_over(ledger, "bulk") == 1200


def test_an_interrupt_on_the_way_tells_how_far_it_came(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quietly, and with the interrupt's exit code."""

    def interrupted(self: JobClient, jobs: list[AnyJob]) -> list[Receipt]:
        del self, jobs
        raise KeyboardInterrupt

    monkeypatch.setattr(JobClient, "hand_over", interrupted)

    result = command("enqueue", "file", csv_file(*rows(3)), "--kind", "create")

    assert result.exit_code == 130
    assert "stopped after 0 of 3 jobs" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_changes_between_the_passes(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not sent; the exit code says that the file is at fault."""
    path = csv_file(*rows(3))
    opened = JobClient.__enter__

    def meddling(self: JobClient) -> JobClient:
        csv_file(*rows(4))
        return opened(self)

    monkeypatch.setattr(JobClient, "__enter__", meddling)

    result = command("enqueue", "file", path, "--kind", "create")

    assert result.exit_code == 2
    assert "changed" in result.stderr

"""Dead letters, looked at and acted on against a real ledger."""

import base64
import json
import shlex
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from redis import Redis

from integration.cli.lives import Command, Lives, answer
from oppsync_worker.contract.states import Cause
from oppsync_worker.contract.wire import read_message
from oppsync_worker.version import release


def test_list_tells_all_but_the_message(command: Command, lives: Lives) -> None:
    """Ids, cause and attempts as JSON; no title anywhere."""
    job_id = lives.dead(external_ref="order-1")

    result = command("dead", "list", "--json")

    (letter,) = answer(result)
    assert result.exit_code == 0
    assert letter["job_id"] == job_id
    assert (letter["instance"], letter["kind"], letter["cause"]) == ("acme", "opportunities.create", "rejected")
    assert (letter["attempts"], letter["version"], letter["external_ref"]) == (1, release(), "order-1")
    assert "João" not in json.dumps(letter, ensure_ascii=False)


def test_no_letters_is_good_news_and_no_match_is_not(command: Command, lives: Lives) -> None:
    """An empty graveyard exits with 0, a filter that takes nothing with 1."""
    empty = command("dead", "list")
    lives.dead()
    unmatched = command("dead", "list", "--instance", "globex")

    assert (empty.exit_code, empty.stdout) == (0, "no dead letters\n")
    assert (unmatched.exit_code, unmatched.stdout) == (1, "no dead letter matches\n")


def test_each_filter_narrows_the_list_down(command: Command, lives: Lives, ledger: Redis) -> None:
    """Instance, kind, cause, age, ids and limit, alone and together."""
    old = lives.dead(instance="acme")
    new = lives.dead(instance="globex", cause=Cause.EXHAUSTED)
    changed = lives.dead(lives.update())
    seconds, _ = ledger.time()
    lives.buried_at(old, seconds * 1000 - 3 * 3_600_000)

    def listed(*options: str) -> list[str]:
        return [letter["job_id"] for letter in answer(command("dead", "list", "--json", *options))]

    assert listed() == [old, new, changed]
    assert listed("--instance", "acme") == [old, changed]
    assert listed("--kind", "update") == [changed]
    assert listed("--cause", "exhausted") == [new]
    assert listed("--older-than", "2h") == [old]
    assert listed("--newer-than", "2h") == [new, changed]
    assert listed("--newer-than", "2h", "--kind", "create") == [new]
    assert listed("--limit", "2") == [old, new]
    assert listed("--id", new, "--id", old) == [new, old]
    assert listed(old, "--cause", "exhausted") == []


def test_a_long_list_is_cut_and_says_so(command: Command, lives: Lives) -> None:
    """What is not shown is announced on stderr, where it cannot spoil the JSON."""
    lives.dead()
    lives.dead()

    result = command("dead", "list", "--limit", "1", "--json")

    assert len(answer(result)) == 1
    assert "more than these 1" in result.stderr


def test_show_masks_what_may_be_personal(command: Command, lives: Lives) -> None:
    """Titles and custom fields by their length, ids as they are; --reveal shows all."""
    job_id = lives.dead(fields={"CPF do cliente": "123.456.789-00"}, lead_id=8473)

    masked = command("dead", "show", job_id)
    revealed = command("dead", "show", job_id, "--reveal")

    assert masked.exit_code == 0
    assert "João" not in masked.stdout
    assert "123.456" not in masked.stdout
    assert "title = (text of 12 characters)" in masked.stdout
    assert "lead_id = 8473" in masked.stdout
    assert "HTTP 422, 120 ms, Rejected, crm_column is unknown" in masked.stdout
    assert "title = Casa de João" in revealed.stdout
    assert "fields.CPF do cliente = 123.456.789-00" in revealed.stdout


def test_show_as_json_has_job_and_history(command: Command, lives: Lives) -> None:
    """One object per letter, with the masked job and each attempt."""
    job_id = lives.dead()

    (letter,) = answer(command("dead", "show", job_id, "--json"))

    assert letter["job"]["crm_column"] == 130
    assert letter["history"][0]["status"] == 422


def test_raw_bytes_are_shown_escaped_and_cut(command: Command, lives: Lives) -> None:
    """A control sequence in a dead letter must not reach the terminal."""
    letter = lives.raw(b"\x1b[2J\xff" + b"x" * 5000)

    outlined, revealed = command("dead", "show", letter), command("dead", "show", letter, "--reveal")

    assert r"\x1b[**\xff" in outlined.stdout
    assert r"\x1b[2J\xff" in revealed.stdout
    for result in (outlined, revealed):
        assert "\x1b" not in result.stdout
        assert "more bytes" in result.stdout
    assert len(outlined.stdout) < 1500


def test_show_of_a_job_that_is_not_dead_says_where_to_look(command: Command, lives: Lives) -> None:
    """Bad news, with the command that knows more."""
    job = lives.create()

    result = command("dead", "show", job.job_id)

    assert result.exit_code == 1
    assert f"oppsync job show {job.job_id}" in result.stderr


def test_one_letter_is_replayed_at_once(command: Command, lives: Lives) -> None:
    """Same id, attempt 1, one more replay."""
    job_id = lives.dead()

    result = command("dead", "replay", job_id)

    assert (result.exit_code, result.stdout) == (0, "1 replayed\n")
    outcome = answer(command("job", "show", job_id, "--json"))[0]
    assert (outcome["state"], outcome["attempts"], outcome["replays"]) == ("queued", 0, 1)
    assert outcome["history"][-1]["event"] == "replayed"


def test_many_are_rehearsed_and_the_printed_command_does_it(command: Command, lives: Lives) -> None:
    """The dry run changes nothing; its command replays just the letters that it showed."""
    first, second = lives.dead(), lives.dead()

    plan = answer(command("dead", "replay", "--instance", "acme", "--json"))
    states = [lives.state(first), lives.state(second)]
    later = lives.dead()
    done = command(*shlex.split(plan["command"])[1:])

    assert (plan["dry_run"], plan["selected"]) == (True, 2)
    assert plan["tally"] == [{"instance": "acme", "cause": "rejected", "letters": 2}]
    assert states == ["dead", "dead"]
    assert (done.exit_code, done.stdout) == (0, "2 replayed\n")
    assert [lives.state(first), lives.state(second), lives.state(later)] == ["queued", "queued", "dead"]


def test_a_plan_for_people_ends_with_the_command(command: Command, lives: Lives) -> None:
    """Text, for copying."""
    lives.dead()
    lives.dead()

    result = command("dead", "discard", "--all")

    assert result.exit_code == 0
    assert "nothing was done; to discard them:" in result.stdout
    assert "oppsync dead discard --older-than" in result.stdout


def test_everything_must_be_asked_for_by_name(command: Command, lives: Lives) -> None:
    """No filter is a mistake, not a wish for all."""
    job_id = lives.dead()

    result = command("dead", "discard", "--yes")

    assert result.exit_code == 2
    assert "--all" in result.stderr
    assert lives.state(job_id) == "dead"


def test_replay_counts_what_it_may_not_do(command: Command, lives: Lives) -> None:
    """A queued job, raw bytes and an unknown id are refused, each by its word."""
    dead = lives.dead()
    queued = lives.create().job_id
    lives.claim()
    raw = lives.raw()

    result = command("dead", "replay", dead, queued, raw, "nobody", "--yes", "--json")

    assert result.exit_code == 1
    assert answer(result)["done"] == 1
    assert answer(result)["refused"] == {"queued": 1, "unreadable": 1, "unknown": 1}


def test_replay_with_set_mends_the_job(command: Command, lives: Lives, ledger: Redis) -> None:
    """The queued message is the old job with the new field; id and lane stay."""
    job_id = lives.dead(lane="bulk", fields={"Origem": "site", "Bairro": "Centro"}, value="10")

    result = command(
        "dead", "replay", job_id, "--set", "crm_column=131", "--set", "fields.Origem=loja", "--set", "fields.Bairro=",
        "--set", "value=",
    )  # fmt: skip

    assert (result.exit_code, result.stdout) == (0, "1 replayed\n")
    (message,) = ledger.lrange("opportunities.bulk", 0, -1)
    job = read_message(message.decode())
    assert (job.job_id, job.crm_column, job.title, job.value) == (job_id, 131, "Casa de João", None)
    assert job.fields == {"Origem": "loja"}


def test_a_job_that_breaks_the_contract_can_be_mended(command: Command, lives: Lives, ledger: Redis) -> None:
    """What killed it is the very field that is set."""
    job = lives.create()
    message = json.loads(ledger.rpop("opportunities.interactive"))
    args, kwargs, embed = json.loads(message["body"])
    broken = base64.b64encode(json.dumps([args, {**kwargs, "crm_column": "130"}, embed]).encode()).decode()
    message["properties"]["body_encoding"] = "base64"
    ledger.lpush("opportunities.interactive", json.dumps({**message, "body": broken}))
    lives.dead(job, cause=Cause.INVALID)

    result = command("dead", "replay", job.job_id, "--set", "crm_column=130")

    assert (result.exit_code, result.stdout) == (0, "1 replayed\n")
    assert read_message(ledger.lindex("opportunities.interactive", 0).decode()) == job


def test_a_mending_that_the_contract_refuses_changes_nothing(command: Command, lives: Lives) -> None:
    """The job stays dead, and the field is named."""
    job_id = lives.dead()

    result = command("dead", "replay", job_id, "--set", "status=won")

    assert result.exit_code == 1
    assert "1 not: unmendable" in result.stdout
    assert "status" in result.stderr
    assert lives.state(job_id) == "dead"


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("crm_column", "name=value"),
        ("crm_column=abc", "whole number"),
        ("instance=globex", "cannot be changed by a replay"),
        ("lane=bulk", "cannot be changed by a replay"),
        ("colour=red", "is not a field of a job"),
    ],
)
def test_a_wrong_assignment_is_a_wrong_use(command: Command, assignment: str, said: str) -> None:
    """Exit code 2 and the field, before Redis is even asked."""
    result = command("dead", "replay", "--all", "--set", assignment)

    assert result.exit_code == 2
    assert said in result.stderr


def test_the_rehearsal_says_which_could_be_mended(command: Command, lives: Lives) -> None:
    """Raw bytes among the letters are no obstacle to the plan."""
    lives.dead()
    raw = lives.raw()

    plan = answer(command("dead", "replay", "--all", "--set", "crm_column=131", "--json"))

    assert plan["mending"]["done"] == 1
    assert plan["mending"]["problems"][0]["job_id"] == raw


def test_discard_drops_the_message(command: Command, lives: Lives, ledger: Redis) -> None:
    """The letter is gone, its entry stays as long as outcomes do."""
    job_id = lives.dead()

    result = command("dead", "discard", job_id)

    assert (result.exit_code, result.stdout) == (0, "1 discarded\n")
    assert lives.state(job_id) == "discarded"
    assert ledger.hget(f"oppsync:job:{job_id}", "message") is None
    assert 6 * 86_400 < ledger.ttl(f"oppsync:job:{job_id}") <= 7 * 86_400


def test_raw_bytes_can_be_discarded(command: Command, lives: Lives) -> None:
    """It is the only thing to do with them."""
    letter = lives.raw()

    assert command("dead", "discard", letter).exit_code == 0
    assert lives.state(letter) == "discarded"


def test_discard_again_is_refused_by_its_state(command: Command, lives: Lives) -> None:
    """Nothing matches, and the word says why."""
    job_id = lives.dead()
    command("dead", "discard", job_id)

    result = command("dead", "discard", job_id)

    assert (result.exit_code, result.stdout) == (1, "no dead letter matches; 1 named discarded\n")


def test_a_wrong_retention_stops_a_discard(command: Command, lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad setting is a wrong use; nothing is dropped."""
    job_id = lives.dead()
    monkeypatch.setenv("OPPSYNC_OUTCOME_DAYS", "soon")

    result = command("dead", "discard", job_id)

    assert (result.exit_code, lives.state(job_id)) == (2, "dead")
    assert result.stderr.startswith("oppsync: OPPSYNC_OUTCOME_DAYS")


def test_export_writes_a_private_file(command: Command, lives: Lives) -> None:
    """Mode 0600, one object a line, jobs masked."""
    job_id = lives.dead()

    result = command("dead", "export", "-o", "letters.jsonl")

    path = Path("letters.jsonl")
    assert result.exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (letter,) = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert letter["job_id"] == job_id
    assert letter["job"]["title"] == "(text of 12 characters)"
    assert path.read_bytes().isascii()


def test_export_raw_keeps_every_byte(command: Command, lives: Lives, ledger: Redis) -> None:
    """Text as text, anything else as base64."""
    job_id = lives.dead()
    message = ledger.hget(f"oppsync:job:{job_id}", "message")
    raw = lives.raw(b"\x00\xff")

    lines = [json.loads(line) for line in command("dead", "export", "--raw").stdout.splitlines()]

    found = {line["job_id"]: line for line in lines}
    assert found[job_id]["message"].encode() == message
    assert base64.b64decode(found[raw]["message_base64"]) == b"\x00\xff"


def test_export_overwrites_only_when_asked(command: Command, lives: Lives) -> None:
    """An existing file is a mistake until it is said not to be; a folder that is not there always is one."""
    lives.dead()
    Path("letters.jsonl").write_text("mine", "utf-8")

    refused = command("dead", "export", "-o", "letters.jsonl")
    kept = Path("letters.jsonl").read_text("utf-8")
    replaced = command("dead", "export", "-o", "letters.jsonl", "--overwrite")
    nowhere = command("dead", "export", "-o", "nowhere/letters.jsonl")

    assert (refused.exit_code, kept) == (2, "mine")
    assert replaced.exit_code == 0
    assert nowhere.exit_code == 2
    assert list(Path().iterdir()) == [Path("letters.jsonl")]


@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_a_letter_that_changes_between_the_look_and_the_act_is_left_alone(
    command: Command, lives: Lives, ledger: Redis, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """It is counted as changed, and the others are acted on."""
    ids = [lives.dead(), lives.dead()]

    @contextmanager
    def meanwhile(*_: object) -> Iterator[Callable[[int], None]]:
        lives.buried_at(ids[0], 7_000)
        yield lambda _: None

    monkeypatch.setattr("oppsync_ops.cli.dead_acting.progress", meanwhile)

    result = command("dead", verb, "--all", "--yes", "--json")

    assert result.exit_code == 1
    counts = answer(result)
    assert (counts["done"], counts["refused"]) == (1, {"changed": 1})
    assert ledger.hget(f"oppsync:job:{ids[0]}", "state") == b"dead"


def test_a_mended_job_keeps_the_times_in_another_applications_headers(
    command: Command, lives: Lives, ledger: Redis
) -> None:
    """`expires` and `eta` are its deadline and its `not_before`, unless they are what is mended."""
    job = lives.create()
    message = json.loads(ledger.rpop("opportunities.interactive"))
    ledger.delete(f"oppsync:job:{job.job_id}", "oppsync:inflight:acme", "oppsync:calls")
    times = {"expires": "2199-01-01T00:00:00+00:00", "eta": "2026-01-01T00:00:00+00:00"}
    message["headers"].update(times, origin="gen1@elsewhere")
    ledger.lpush("opportunities.interactive", json.dumps(message))
    assert lives.claim() == []
    timed = job.model_copy(update={"deadline": datetime.fromisoformat(times["expires"])})
    lives.dead(timed)

    assert command("dead", "replay", job.job_id, "--set", "title=Other").exit_code == 0

    mended = read_message(ledger.lindex("opportunities.interactive", 0).decode())
    assert [str(mended.deadline), str(mended.not_before)] == ["2199-01-01 00:00:00+00:00", "2026-01-01 00:00:00+00:00"]
    assert ledger.hget(f"oppsync:job:{job.job_id}", "deadline") == b"7226582400000"

    lives.dead(mended)
    assert command("dead", "replay", job.job_id, "--set", "deadline=").exit_code == 0
    mended = read_message(ledger.lindex("opportunities.interactive", 0).decode())
    assert (mended.deadline, str(mended.not_before)) == (None, "2026-01-01 00:00:00+00:00")


def test_a_header_that_is_no_time_is_mended_before_anything_else(command: Command, lives: Lives, ledger: Redis) -> None:
    """What its producer meant with it is not dropped unseen."""
    job = lives.create()
    message = json.loads(ledger.rpop("opportunities.interactive"))
    message["headers"]["expires"] = "tomorrow"
    ledger.lpush("opportunities.interactive", json.dumps(message))
    lives.dead(job, cause=Cause.INVALID)

    refused = command("dead", "replay", job.job_id, "--set", "title=Other")
    mended = command("dead", "replay", job.job_id, "--set", "title=Other", "--set", "deadline=")

    assert refused.exit_code == 1
    assert "expires: must be an ISO 8601 time" in refused.stderr
    assert mended.exit_code == 0

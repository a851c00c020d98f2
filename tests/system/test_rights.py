"""The rights that the runbook gives to each role are enough for all that it does; and it is told when they are not."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from integration.cli.lives import Lives
from integration.ledger import laws
from integration.ledger.aborting import everything
from integration.ledger.desk import ATTEMPT, Desk, change
from integration.ledger.snapshot import Snapshot
from oppsync import AsyncJobClient, CreateOpportunity, JobClient, State, UpdateOpportunity
from oppsync_ops import redis_server
from oppsync_ops.cli.root import oppsync as main
from oppsync_ops.simulator import HostedSimulator
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.ledger import ends, keys, rights
from oppsync_worker.ledger.assembly import READS, UNLOGGED
from oppsync_worker.ledger.connect import LedgerUnavailable
from oppsync_worker.ledger.rights import RightsMissing
from stage import BIN, Worker, eventually

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "ops" / "docs" / "runbook.md").read_text("utf-8")
LINES = {
    line.split()[2].removeprefix("oppsync-"): line for line in RUNBOOK.splitlines() if line.startswith("ACL SETUSER")
}
SCRIPTS = ROOT / "worker" / "oppsync_worker" / "ledger" / "lua"
KINDS: dict[str, dict[str, Any]] = {
    "create": {},
    "create with all": {"external_ref": "r", "idempotency_key": "k", "deadline": "2100-01-01T00:00:00Z"},
    "update": {"opportunity_id": 5},
    "update by reference": {"external_ref": "r", "lane": "bulk"},
    "later": {"not_before": "2100-01-01T00:00:00Z", "deadline": "2100-02-01T00:00:00Z"},
    "later update": {"opportunity_id": 5, "not_before": "2100-01-01T00:00:00Z", "idempotency_key": "u"},
}


def job(kind: str) -> AnyJob:
    """One of every kind that takes another way through the script."""
    given = {"instance": "acme", "funnel_id": 7, "title": "T", "job_id": kind.replace(" ", "-"), **KINDS[kind]}
    if "update" in kind:
        return UpdateOpportunity.parse(given)
    return CreateOpportunity.parse({**given, "crm_column": 130})


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose users may be changed."""
    with redis_server.running(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
def admin(own: str) -> Iterator[redis.Redis]:
    """Who gives rights; the server is empty, and has the runbook's users."""
    with redis.Redis.from_url(own) as client:
        client.flushall()
        for line in LINES.values():
            client.execute_command(*line.split())
        client.acl_log_reset()
        yield client


def url_of(own: str, role: str) -> str:
    """Where a role connects."""
    password = next(word.removeprefix(">") for word in LINES[role].split() if word.startswith(">"))
    return re.sub(r"//[^@]*@", f"//oppsync-{role}:{password}@", own)


def refused(admin: redis.Redis) -> list[tuple[str, str]]:
    """What Redis has refused to anybody, but for two things that nobody minds.

    `client setinfo` is unknown to Redis 6.2. At its start a worker asks for the rights of `default`, where they matter,
    and does without the answer.
    """
    log: Any = admin.acl_log()
    named = [(one["reason"], one["object"]) for one in log]
    return [(why, what) for why, what in named if "setinfo" not in str(what) and what != "acl|getuser"]


@pytest.mark.parametrize("role", sorted(rights.ROLES))
def test_the_runbook_shows_the_lines_that_the_command_prints(role: str) -> None:
    """But for the passwords."""
    printed = CliRunner().invoke(main, ["redis", "acl", role], prog_name="oppsync").output.strip()

    assert re.sub(r">\S+", ">", LINES[role]) == re.sub(r">\S+", ">", printed)


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.lua")), ids=lambda path: path.stem)
def test_every_command_of_every_script_can_be_taken_back_and_is_permitted(script: Path) -> None:
    """One that is not known would be forbidden, and what it did would stay after an abort."""
    used = rights.commands_named(script.read_text("utf-8"))

    assert used - READS - rights.WRITES.keys() == set()
    assert used <= set(rights.commands(rights.ROLES["worker"]))


def test_every_write_is_known_to_the_undo_log() -> None:
    """Or `lua/undo.lua` would let it pass unnoticed."""
    text = (SCRIPTS / "undo.lua").read_text("utf-8")
    _, _, write = text.partition("local function write(")
    known = {name.lower() for name in re.findall(r"command == '([A-Z]+)'", write.partition("\nend\n")[0])}

    # What is none of these is an LSET.
    assert known | {"lset"} | (UNLOGGED - READS) == set(rights.WRITES)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_producer_with_these_rights_enqueues_every_kind_of_job(own: str, admin: redis.Redis, kind: str) -> None:
    """And asks what became of it, with both clients; the message is there."""
    with JobClient(url_of(own, "producer")) as client:
        assert client.enqueue(job(kind)) == job(kind).job_id
        assert client.outcome(job(kind).job_id).state != State.UNKNOWN
    client_of_asyncio = AsyncJobClient(url_of(own, "producer"))
    assert await client_of_asyncio.enqueue(job(kind)) == job(kind).job_id
    await client_of_asyncio.close()

    assert refused(admin) == []
    laws.every_job_is_in_exactly_one_place(Snapshot.of(admin), {job(kind).job_id: job(kind)}, ())


def withdraw(admin: redis.Redis, role: str, command: str) -> None:
    """Take one right away."""
    admin.execute_command("ACL", "SETUSER", f"oppsync-{role}", f"-{command}")


@pytest.mark.parametrize("command", sorted(rights.commands_of("enqueue")))
def test_a_producer_that_lacks_one_right_is_told_before_anything_is_done(
    own: str, admin: redis.Redis, command: str
) -> None:
    """In a sentence that names it; nothing is left behind, and with the right all goes well."""
    withdraw(admin, "producer", command)
    with JobClient(url_of(own, "producer")) as client:
        with pytest.raises((RightsMissing, LedgerUnavailable)) as told:
            client.enqueue(job("create with all"))
        assert f"command {command}" in str(told.value)
        assert admin.keys("*") == []

        admin.execute_command("ACL", "SETUSER", "oppsync-producer", f"+{command}")
        client.enqueue(job("create with all"))
    assert admin.llen("opportunities.interactive") == 1


@pytest.mark.parametrize("pattern", rights.ROLES["producer"].keys)
def test_a_producer_that_lacks_a_key_is_told_which(own: str, admin: redis.Redis, pattern: str) -> None:
    """By its pattern."""
    line = LINES["producer"].replace(f" ~{pattern} ", " ")
    admin.execute_command(*line.split())

    with JobClient(url_of(own, "producer")) as client, pytest.raises((RightsMissing, LedgerUnavailable)) as told:
        client.enqueue(job("create"))

    assert f"keys {pattern}" in str(told.value) or "does not permit" in str(told.value)
    assert admin.keys("*") == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", sorted(rights.commands_of("enqueue")))
def test_a_right_that_is_taken_away_later_loses_no_job(own: str, admin: redis.Redis, kind: str, command: str) -> None:
    """An enqueue that fails has left nothing; one that says OK is whole; and the repeat says the truth."""
    with JobClient(url_of(own, "producer")) as client:
        client.enqueue(job("create").model_copy(update={"job_id": "first"}))
        before = everything(admin)
        withdraw(admin, "producer", command)
        told_ok = False
        try:
            client.enqueue(job(kind))
            told_ok = True
        except LedgerUnavailable as error:
            assert "does not permit" in str(error)  # noqa: PT017 - it may as well succeed
            assert everything(admin) == before
        admin.execute_command("ACL", "SETUSER", "oppsync-producer", f"+{command}")
        (receipt,) = client.hand_over([job(kind)])
    assert receipt.created is not told_ok
    laws.every_job_is_in_exactly_one_place(Snapshot.of(admin), {job(kind).job_id: job(kind)}, ())


OLD_PRODUCER = (
    "ACL SETUSER oppsync-producer reset on >change-me-1 ~oppsync:job:* ~oppsync:idem:* ~oppsync:schedule "
    "~oppsync:bell:* ~opportunities.interactive ~opportunities.bulk ~celery-task-meta-* resetchannels "
    "+ping +select +client|setinfo +evalsha +eval +script|load +time +exists +get +set +hset +hmget "
    "+zadd +zscore +lpush +llen"
)
"""As the runbook had it once."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_producer_with_the_rights_of_an_older_runbook_is_told(own: str, admin: redis.Redis, kind: str) -> None:
    """It was refused once, and its retry was told OK, though no message was anywhere."""
    admin.execute_command(*OLD_PRODUCER.split())

    with JobClient(url_of(own, "producer")) as client:
        for _ in range(2):
            with pytest.raises(RightsMissing, match=r"command hdel.*keys oppsync:refs:\*"):
                client.enqueue(job(kind))

    assert admin.keys("*") == []


@pytest.mark.parametrize("command", sorted(rights.commands_of("adopt")))
def test_an_adoption_that_is_refused_midway_has_not_happened(own: str, admin: redis.Redis, command: str) -> None:
    """The create had succeeded, and its updates were blocked for ever."""
    desk = Desk(admin)
    create = CreateOpportunity(instance="acme", funnel_id=7, title="T", crm_column=130, external_ref="r")
    update = change("r")
    desk.enqueue(create, update)
    hand, _, _ = desk.send_next()
    desk.run(ends.doubt(hand, attempt=ATTEMPT))
    assert desk.states([create, update]) == ["in_doubt", "blocked"]
    withdraw(admin, "operator", command)
    environ = {"REDIS_URL": url_of(own, "operator")}

    ran = CliRunner().invoke(main, ["doubt", "adopt", create.job_id, "77"], env=environ)

    if ran.exit_code != 0:
        assert command in ran.output or "does not permit" in ran.output
        assert desk.states([create, update]) == ["in_doubt", "blocked"]
        admin.execute_command("ACL", "SETUSER", "oppsync-operator", f"+{command}")
        ran = CliRunner().invoke(main, ["doubt", "adopt", create.job_id, "77"], env=environ)
    assert ran.exit_code == 0, ran.output
    assert desk.states([create, update]) == ["succeeded", "waiting"]
    desk.line_moves()
    assert desk.states([create, update]) == ["succeeded", "queued"]


@pytest.fixture
def operator(own: str, admin: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs `oppsync` with an operator's rights; what it prints, whether the news is good or bad."""
    del admin
    monkeypatch.chdir(tmp_path)
    environ = {
        "REDIS_URL": url_of(own, "operator"),
        "SPRINTHUB_INSTANCE": "acme",
        "SPRINTHUB_API_TOKEN": "acme-token-1",
    }

    def run(*words: str) -> str:
        ran = CliRunner().invoke(main, words, env=environ, prog_name="oppsync")
        assert ran.exit_code in {0, 1}, (words, ran.output)
        assert "does not permit" not in ran.output, (words, ran.output)
        return ran.output

    return run


def test_an_operator_with_these_rights_runs_every_command(
    own: str, admin: redis.Redis, operator: Callable[..., str], tmp_path: Path
) -> None:
    """On jobs in every state; Redis' own log of refusals stays empty."""
    lives = Lives(admin, own)
    doubts = [lives.in_doubt(external_ref=f"doubt-{number}") for number in range(4)]
    letters = [lives.dead() for _ in range(4)]
    (tmp_path / "jobs.csv").write_text("instance;funnel_id;title;crm_column\nacme;7;T;130\n", "utf-8")
    admin.hset(keys.budget("acme"), mapping={"learned": 9, "learned_at": 4_000_000_000_000, "trips": 1, "failures": 5})

    told = operator("hold", "set", "acme", "--note", "why")
    for line in (
        "enqueue create --instance acme --funnel-id 7 --title T --crm-column 130 --external-ref r --idempotency-key k",
        "status",
        "status --json",
        "instances",
        "health --ready",
        "redis status",
        "hold list",
        "budget show",
        "budget resume acme",
        "budget forget acme",
        f"job show {letters[0]}",
        f"job show {doubts[0]}",
        f"job wait {letters[0]} --timeout 1",
        "dead list",
        f"dead show {letters[0]}",
        f"dead replay {letters[0]}",
        f"dead replay {letters[1]} --set title=U",
        f"dead discard {letters[2]} --yes",
        "dead export --output letters.jsonl",
        "doubt list",
        f"doubt show {doubts[0]}",
        f"doubt look {doubts[0]}",
        f"doubt adopt {doubts[1]} 4711",
        f"doubt resend {doubts[2]} --yes",
        f"doubt discard {doubts[3]} --yes",
        "dead replay --cause rejected --yes",
        "enqueue update --instance acme --funnel-id 7 --opportunity-id 5 --title U",
        "enqueue update --instance acme --funnel-id 7 --external-ref doubt-0 --title U",
        "enqueue file jobs.csv --kind create",
        f"job discard {letters[0]} --yes",
        "hold release acme",
        "budget show acme --json",
    ):
        told += operator(*line.split())

    assert "acme" in told
    assert refused(admin) == []


def test_a_worker_with_these_rights_delivers_and_is_refused_nothing(
    own: str, admin: redis.Redis, crm: HostedSimulator, tmp_path: Path
) -> None:
    """With a limited budget, a transient failure and a rejection; Redis' own log of refusals stays empty."""
    worker = worker_of(own, crm, tmp_path).start()
    try:
        with JobClient(url_of(own, "producer")) as client:
            jobs = client.enqueue_many(deal(column=130, lead=number) for number in range(1, 25))
            bad = client.enqueue(deal(column=999, lead=99))

            eventually(lambda: {one.state for one in client.outcomes(jobs)} == {State.SUCCEEDED}, within_s=40)
            assert client.wait(bad, timeout_s=20).state == State.DEAD
        assert worker.stop() == 0
    finally:
        if worker.running:
            worker.kill()
    assert refused(admin) == []


def test_a_worker_that_lacks_a_right_says_which(
    own: str, admin: redis.Redis, crm: HostedSimulator, tmp_path: Path
) -> None:
    """In its log; and goes on by itself once it has it."""
    withdraw(admin, "worker", "zadd")
    worker = worker_of(own, crm, tmp_path).start()
    try:
        eventually(lambda: "rights_missing" in worker.said() and "command zadd" in worker.said())
        admin.execute_command("ACL", "SETUSER", "oppsync-worker", "+zadd")
        with JobClient(own) as client:
            assert client.wait(client.enqueue(deal(column=130, lead=1)), timeout_s=40).state == State.SUCCEEDED
    finally:
        worker.kill()


def worker_of(own: str, crm: HostedSimulator, folder: Path) -> Worker:
    """With a limited budget."""
    (folder / "instances.toml").write_text(
        '[acme]\ntoken = "acme-token-1234"\n[acme.budget]\nrequests = 20\nwindow_seconds = 2\nconcurrency = 2\n',
        "utf-8",
    )
    return Worker(redis_url=url_of(own, "worker"), crm_url=crm.url, folder=folder)


def deal(*, column: int, lead: int) -> CreateOpportunity:
    """A create."""
    return CreateOpportunity(instance="acme", funnel_id=7, title="T", crm_column=column, lead_id=lead)


@pytest.mark.parametrize("command", ["brpop", "rpop", "evalsha"])
def test_a_worker_that_may_not_claim_is_not_ready(
    own: str, admin: redis.Redis, crm: HostedSimulator, tmp_path: Path, command: str
) -> None:
    """It lives, and Redis answers, and still nothing would ever be delivered: the reason is told. Given back, it is."""
    worker = Worker(redis_url=url_of(own, "worker"), crm_url=crm.url, folder=tmp_path).start()
    try:
        eventually(lambda: health(worker)[0] == 0)
        admin.execute_command("ACL", "SETUSER", "oppsync-worker", f"-{command}")

        eventually(lambda: health(worker)[0] == 1)
        code, said = health(worker)
        assert code == 1
        assert "may not claim jobs. Redis does not permit this user what the ledger needs" in said
        assert "oppsync redis acl" in said

        admin.execute_command("ACL", "SETUSER", "oppsync-worker", f"+{command}")
        eventually(lambda: health(worker)[0] == 0, within_s=60)
    finally:
        worker.kill()


def health(worker: Worker) -> tuple[int, str]:
    """What `oppsync health --ready` says beside it."""
    done = subprocess.run(
        [BIN / "oppsync", "health", "--ready"], env=worker.environ, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr

"""Celery's remote control and worker options: each is true, or refused with a sentence (ops/docs/celery.md)."""

# ruff: noqa: D103 - the test tools here speak through their names

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery.bin.control import _compile_arguments
from celery.worker.control import Panel

from oppsync import CreateOpportunity, JobClient, State, UpdateOpportunity
from oppsync_ops.simulator import HostedSimulator
from oppsync_worker.contract.names import Lane
from oppsync_worker.engine.remote import ALWAYS, IMPOSSIBLE
from oppsync_worker.engine.starting import OPTIONS
from stage import BIN, Worker, eventually

DOCS = Path(__file__).parents[3] / "ops" / "docs" / "celery.md"


def create(lead: int = 1) -> CreateOpportunity:
    return CreateOpportunity(
        instance="acme", funnel_id=7, title=f"Deal of Zacharias {lead}", crm_column=130, lead_id=lead
    )


def ready(process: Worker) -> Worker:
    eventually(lambda: "worker_ready" in process.said())
    return process


def ask(process: Worker, how: str, command: str, *arguments: str) -> Any:
    """What one worker answers to a command, its arguments read as on the command line, without that one's wait."""
    assert how == ("inspect" if Panel.meta[command].type == "inspect" else "control")
    with Celery(broker=process.environ["REDIS_URL"], set_as_current=False) as app:
        app.conf.accept_content = ["json"]
        with app.connection_for_write() as connection:
            replies = app.control.broadcast(
                command,
                arguments=_compile_arguments(command, list(arguments)),
                connection=connection,
                reply=True,
                limit=1,
                timeout=20,
            )
    assert replies, f"no answer to {command}"
    (answer,) = replies[0].values()
    return answer


def typed(process: Worker, *asked: str) -> Any:
    """The same, through the command line as it is typed: it waits for its whole timeout."""
    done = subprocess.run(
        [BIN / "celery", "-A", "oppsync_worker.app", *asked, "--timeout", "5", "--json"],
        env=process.environ,
        cwd=process.log.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip()[:1] in ("{", "["), done.stdout + done.stderr
    replies = json.loads(done.stdout)
    # One worker: `inspect` gives an object, `control` a list of objects.
    (answer,) = (replies[0] if isinstance(replies, list) else replies).values()
    return answer


def slowly(crm: HostedSimulator, *, method: str, ms: int = 4000) -> None:
    crm.add_fault(f"slow:method={method},ms={ms},commit=start")


@pytest.mark.parametrize("how", [["terminate", "KILL"], ["revoke"]], ids=lambda how: how[0])
def test_what_is_being_sent_goes_on_to_its_true_end(
    client: JobClient, worker: Callable[..., Worker], crm: HostedSimulator, how: list[str]
) -> None:
    """An update and a create, revoked in the middle of their calls: both were carried out, and both say so."""
    process = ready(worker(OPPSYNC_REMOTE_CONTROL="all"))
    first = client.wait(client.enqueue(create()), timeout_s=20)
    slowly(crm, method="POST")
    slowly(crm, method="PUT")
    jobs = [
        client.enqueue(create(2)),
        client.enqueue(
            UpdateOpportunity(instance="acme", funnel_id=7, opportunity_id=first.opportunity_id, title="Changed")
        ),
    ]
    for job in jobs:
        eventually(lambda job=job: client.outcome(job).state == State.SENDING)

    answer = ask(process, "control", *how, *jobs)

    assert "under way" in answer["error"]
    assert all(job in answer["error"] for job in jobs)
    assert [client.wait(job, timeout_s=30).state for job in jobs] == [State.SUCCEEDED] * 2
    assert {record["title"] for record in crm.records("acme")} == {"Changed", create(2).title}
    assert crm.counters()["instances"]["acme"]["duplicates"] == 0


def test_a_revoked_job_that_was_not_sent_is_dead_with_the_reason(
    client: JobClient, worker: Callable[..., Worker], crm: HostedSimulator
) -> None:
    """Nothing reaches the CRM, and the letter says who gave it up; started anew, the workers take it again."""
    process = ready(worker(OPPSYNC_REMOTE_CONTROL="all"))
    job = "0b6f1c1e-9d5f-4d6c-8c6d-1f0c0a9d7e11"

    answer = ask(process, "control", "revoke", job)
    client.enqueue(create().model_copy(update={"job_id": job}))

    assert job in answer["ok"]
    outcome = client.wait(job, timeout_s=20)
    assert (outcome.state, outcome.attempts) == (State.DEAD, 0)
    assert "revoked through Celery's remote control" in (outcome.detail or "")
    assert crm.records("acme") == []


def test_a_command_that_would_do_nothing_is_an_error(shared_worker: Worker) -> None:
    """With a sentence that says what to do instead."""
    would_do_nothing = (
        ["rate_limit", "opportunities.create", "1/m"],
        ["time_limit", "opportunities.create", "1", "1"],
        ["pool_grow", "1"],
        ["pool_shrink", "1"],
        ["autoscale", "10", "1"],
        ["add_consumer", "somebody.elses"],
        ["cancel_consumer", "somebody.elses"],
    )

    for asked in would_do_nothing:
        answer = ask(shared_worker, "control", *asked)
        assert set(answer) == {"error"}, asked
        assert len(answer["error"].split()) > 5, asked
        assert "Error" not in answer["error"], asked


@pytest.fixture
def shared_worker(worker: Callable[..., Worker]) -> Worker:
    return ready(worker(OPPSYNC_REMOTE_CONTROL="all"))


def test_a_lane_can_be_left_and_taken_up_again(client: JobClient, shared_worker: Worker) -> None:
    """`cancel_consumer` and `add_consumer` do what they say."""
    bulk = Lane.BULK.queue
    assert "ok" in ask(shared_worker, "control", "cancel_consumer", bulk)
    eventually(
        lambda: [queue["name"] for queue in ask(shared_worker, "inspect", "active_queues")] == [Lane.INTERACTIVE.queue]
    )
    left = client.enqueue(create(1).model_copy(update={"lane": Lane.BULK}))
    done = client.enqueue(create(2).model_copy(update={"lane": Lane.INTERACTIVE}))

    assert client.wait(done, timeout_s=20).state == State.SUCCEEDED
    assert client.outcome(left).state != State.SUCCEEDED
    assert "ok" in ask(shared_worker, "control", "add_consumer", bulk)
    assert client.wait(left, timeout_s=20).state == State.SUCCEEDED


def test_shutdown_lets_calls_end(
    client: JobClient, shared_worker: Worker, crm: HostedSimulator, tmp_path: Path
) -> None:
    """A warm stop, as SIGTERM is."""
    slowly(crm, method="POST", ms=1500)
    job = client.enqueue(create())
    eventually(lambda: client.outcome(job).state == State.SENDING)

    subprocess.run(
        [BIN / "celery", "-A", "oppsync_worker.app", "control", "shutdown"],
        env=shared_worker.environ,
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )

    assert shared_worker.process is not None
    assert shared_worker.process.wait(30) == 0
    assert client.outcome(job).state == State.SUCCEEDED


@pytest.mark.parametrize("level", ["", "inspect"], ids=["by default", "inspect"])
def test_commands_that_change_a_worker_are_refused(
    worker: Callable[..., Worker], level: str, client: JobClient
) -> None:
    """By default, since nobody is asked who they are; questions are answered."""
    process = ready(worker(**({"OPPSYNC_REMOTE_CONTROL": level} if level else {})))

    for asked in (["shutdown"], ["revoke", "x"], ["cancel_consumer", Lane.BULK.queue], ["pool_restart"]):
        answer = ask(process, "control", *asked)
        assert "OPPSYNC_REMOTE_CONTROL" in answer["error"], asked
    assert ask(process, "inspect", "ping") == {"ok": "pong"}
    assert client.wait(client.enqueue(create()), timeout_s=20).state == State.SUCCEEDED
    assert process.running


def test_the_command_line_gets_the_same_answers(shared_worker: Worker) -> None:
    """`celery inspect` and `celery control`, with our application, as an operator types them."""
    assert typed(shared_worker, "inspect", "ping") == {"ok": "pong"}
    refused = typed(shared_worker, "control", "rate_limit", "opportunities.create", "1/m")
    assert refused == ask(shared_worker, "control", "rate_limit", "opportunities.create", "1/m")


def test_remote_control_can_be_off(worker: Callable[..., Worker], tmp_path: Path, client: JobClient) -> None:
    """Nothing is answered, and jobs are done."""
    process = ready(worker(OPPSYNC_REMOTE_CONTROL="off"))

    done = subprocess.run(
        [BIN / "celery", "-A", "oppsync_worker.app", "inspect", "ping", "--timeout", "1"],
        env=process.environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "No nodes replied" in done.stdout + done.stderr
    assert client.wait(client.enqueue(create()), timeout_s=20).state == State.SUCCEEDED


def test_inspecting_shows_neither_texts_nor_secrets(
    client: JobClient, shared_worker: Worker, crm: HostedSimulator
) -> None:
    """What a job carries can name people; what a worker is set up with can open doors."""
    slowly(crm, method="POST", ms=15000)
    job = client.enqueue(create())
    eventually(lambda: client.outcome(job).state == State.SENDING)

    answers = {
        name: json.dumps(ask(shared_worker, "inspect", *name.split()))
        for name in ("active", f"query_task {job}", "reserved", "conf", "stats", "report")
    }

    assert job in answers["active"]
    assert "acme" in answers["active"]
    assert not [name for name, said in answers.items() if "Zacharias" in said or "acme-token-1234" in said]


@pytest.mark.parametrize(
    ("options", "environ"),
    [
        (["-P", "solo"], {}),
        (["-P", "threads"], {}),
        (["-P", "prefork"], {}),
        (["--pool", "processes"], {}),
        ([], {"CELERY_WORKER_POOL": "solo"}),
        (["-P", "custom"], {"CELERY_CUSTOM_WORKER_POOL": "celery.concurrency.solo:TaskPool"}),
        (["worker.pool=solo"], {}),
        (["--autoscale", "10,1"], {}),
        ([], {"CELERY_WORKER_AUTOSCALE": "10,1"}),
        (["-c", "5001"], {}),
        (["-c", "auto"], {}),
        (["--time-limit", "5"], {}),
        (["--soft-time-limit", "5"], {}),
        (["task.time_limit=5"], {}),
        (["--max-tasks-per-child", "5"], {}),
        (["--max-memory-per-child", "5000"], {}),
        (["--pool-start-method", "spawn"], {}),
        (["--purge"], {}),
        (["-B"], {}),
        (["-Q", "somebody.elses"], {}),
    ],
    ids=str,
)
def test_an_option_that_cannot_be_kept_ends_the_start(
    redis_url: str, crm: HostedSimulator, tmp_path: Path, options: list[str], environ: dict[str, str], client: JobClient
) -> None:
    """One sentence, exit code 2, and nothing was claimed."""
    job = client.enqueue(create())
    process = Worker(redis_url=redis_url, crm_url=crm.url, folder=tmp_path, environ=environ)

    done = subprocess.run(
        [BIN / "celery", "-A", "oppsync_worker.app", "worker", *options],
        env=process.environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith(("oppsync: ", "Error: "))]
    assert len(said) == 1, done.stderr
    assert client.outcome(job).state == State.QUEUED


def test_purging_is_refused(shared_worker: Worker, tmp_path: Path, ledger: redis.Redis) -> None:
    """By `celery purge`, too."""
    ledger.lpush("opportunities.bulk", "x" * 10)

    done = subprocess.run(
        [BIN / "celery", "-A", "oppsync_worker.app", "purge", "-f"],
        env=shared_worker.environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "not purged" in done.stderr


def test_celery_call_enqueues_a_job(client: JobClient, shared_worker: Worker, tmp_path: Path) -> None:
    """A plain Celery message for one of the two tasks."""
    kwargs = create().model_dump(mode="json", exclude_none=True, exclude={"job_id"})
    done = subprocess.run(
        [BIN / "celery", "-A", "oppsync_worker.app", "call", "opportunities.create", "--kwargs", json.dumps(kwargs)],
        env=shared_worker.environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert client.wait(done.stdout.strip(), timeout_s=20).state == State.SUCCEEDED


def test_a_detached_worker_works_and_stops(
    redis_url: str, crm: HostedSimulator, tmp_path: Path, client: JobClient
) -> None:
    """`--detach`, with the files that Celery writes for it."""
    process = Worker(redis_url=redis_url, crm_url=crm.url, folder=tmp_path, environ={})
    pidfile = tmp_path / "w.pid"
    subprocess.run(
        [BIN / "celery", "-A", "oppsync_worker.app", "worker", "--detach", f"--pidfile={pidfile}"],
        env=process.environ,
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=True,
    )
    pid = int(eventually(lambda: pidfile.exists() and pidfile.read_text().strip()))
    try:
        assert client.wait(client.enqueue(create()), timeout_s=20).state == State.SUCCEEDED
    finally:
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: not pidfile.exists())


def test_events_tell_what_becomes_of_jobs_and_nothing_of_their_contents(
    client: JobClient, worker: Callable[..., Worker], tmp_path: Path, redis_url: str
) -> None:
    """What Flower lives on: received, started and succeeded or failed, under the job's id and name."""
    watching = tmp_path / "events.py"
    watching.write_text(
        "import json, sys\n"
        "from celery import Celery\n"
        f"app = Celery(broker={redis_url!r})\n"
        "app.conf.accept_content = ['json']\n"
        "with app.connection() as connection:\n"
        "    receiver = app.events.Receiver(connection, handlers={'*': lambda e: print(json.dumps(e), flush=True)})\n"
        "    print('ready', flush=True)\n"
        "    receiver.capture(limit=None, timeout=20, wakeup=True)\n"
    )
    with (tmp_path / "events.txt").open("w") as output:
        watcher = subprocess.Popen([BIN / "python", watching], stdout=output, stderr=subprocess.STDOUT)
    try:
        seen = tmp_path / "events.txt"
        eventually(lambda: "ready" in seen.read_text())
        process = ready(worker(options=("-E",), OPPSYNC_REMOTE_CONTROL="inspect"))
        assert ask(process, "control", "disable_events") == {"ok": "task events disabled"}
        assert ask(process, "control", "enable_events") == {"ok": "task events enabled"}
        failed = client.enqueue(create(1).model_copy(update={"crm_column": 999_999}))
        client.wait(failed, timeout_s=20)
        parked = client.enqueue(create(1).model_copy(update={"instance": "unheard-of"}))
        eventually(lambda: client.outcome(parked).state == State.HELD)
        done = client.enqueue(create(2))
        client.wait(done, timeout_s=20)

        def events() -> list[dict[str, Any]]:
            return [json.loads(line) for line in seen.read_text().splitlines() if line.startswith("{")]

        def kinds(job: str) -> list[str]:
            return [event["type"] for event in events() if event.get("uuid") == job]

        eventually(lambda: kinds(done)[-1:] == ["task-succeeded"], what="events")
        assert kinds(done) == ["task-received", "task-started", "task-succeeded"]
        assert kinds(failed)[-1] == "task-failed"
        assert kinds(parked)[-1] == "task-retried"
        assert {e["name"] for e in events() if e["type"] == "task-received"} == {"opportunities.create"}
        eventually(lambda: "worker-heartbeat" in {event["type"] for event in events()}, what="a heartbeat")
        assert "Zacharias" not in seen.read_text()
    finally:
        watcher.kill()
        watcher.wait()


def test_the_table_in_the_docs_names_every_command_and_option() -> None:
    """What is refused stands there, too."""
    text = DOCS.read_text("utf-8")
    names = [*Panel.meta, *IMPOSSIBLE, *ALWAYS, *(written for written, _ in OPTIONS.values())]

    assert [name for name in names if f"`{name}`" not in text] == []

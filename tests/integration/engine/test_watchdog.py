"""A worker that hangs ends itself, and its work goes on; one that has reasons to stand still lives on."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from oppsync import CreateOpportunity, JobClient, State, UpdateOpportunity
from oppsync_ops import redis_server
from oppsync_ops.proxy import proxied
from oppsync_ops.simulator import HostedSimulator
from stage import Worker, eventually

WATCHDOG_S = 5
QUICK_CALLS = """
[acme]
token = "acme-token-1234"
connect_seconds = 1
call_seconds = 2
[acme.reconcile]
enabled = false
[acme.budget]
requests = 0
concurrency = 0
"""


@pytest.fixture
def hanging(redis_url: str, crm: HostedSimulator, tmp_path: Path) -> Iterator[Callable[[str], Worker]]:
    """Starts a worker that hangs in one way."""
    with ExitStack() as stack:

        def start(wedge: str) -> Worker:
            folder = tmp_path / wedge
            folder.mkdir()
            (folder / "instances.toml").write_text(QUICK_CALLS, "utf-8")
            environ = {"WEDGE": wedge, "OPPSYNC_WATCHDOG_SECONDS": str(WATCHDOG_S)}
            app = "integration.engine.wedged_app"
            one = Worker(redis_url=redis_url, crm_url=crm.url, folder=folder, environ=environ, app=app)
            stack.callback(lambda: one.kill() if one.running else None)
            return one.start()

        yield start


def deal(title: str, lead: int) -> CreateOpportunity:
    """A create."""
    return CreateOpportunity(instance="acme", funnel_id=7, title=title, crm_column=130, lead_id=lead)


def ended(process: Worker) -> int:
    """Its exit code, once there is one."""
    assert process.process is not None
    return process.process.wait(90)


@pytest.mark.parametrize(
    ("wedge", "reason", "code"),
    [
        ("loop", "the event loop has not turned", 70),
        ("jobs", "claims are in hand and nothing has moved", 70),
        ("lock", "re/__init__.py", -signal.SIGPROF),
    ],
)
def test_a_call_that_never_ends_ends_the_worker(
    client: JobClient,
    worker: Callable[..., Worker],
    hanging: Callable[[str], Worker],
    crm: HostedSimulator,
    wedge: str,
    reason: str,
    code: int,
) -> None:
    """With its reason and the stacks in the log; another one takes up what it had, and what is behind."""
    process = hanging(wedge)
    made = client.wait(client.enqueue(deal("good", 1)), timeout_s=30)
    stuck = client.enqueue(
        UpdateOpportunity(instance="acme", funnel_id=7, opportunity_id=made.opportunity_id, title="wedge")
    )
    eventually(lambda: client.outcome(stuck).state == State.SENDING)
    behind = client.enqueue(deal("behind", 2)) if wedge != "jobs" else None

    assert ended(process) == code

    said = process.said()
    assert reason in said
    assert "wedged_app.py" in said, "the stacks show where"
    assert ("watchdog" in [json.loads(line)["event"] for line in said.splitlines() if line.startswith('{"')]) == (
        code == 70
    )
    worker("next")
    for job in filter(None, [stuck, behind]):
        assert client.wait(job, timeout_s=30).state == State.SUCCEEDED
    assert crm.counters()["instances"]["acme"]["duplicates"] == 0


def test_a_consumer_that_stands_still_ends_the_worker(
    client: JobClient, worker: Callable[..., Worker], hanging: Callable[[str], Worker], crm: HostedSimulator
) -> None:
    """Jobs lie in the lane, Redis answers, and nobody takes them."""
    process = hanging("consumer")
    jobs = client.enqueue_many(deal("waiting", number) for number in range(1, 6))

    assert ended(process) == 70

    assert "Celery's consumer has not asked for work" in process.said()
    worker("next")
    eventually(lambda: {one.state for one in client.outcomes(jobs)} == {State.SUCCEEDED})
    assert crm.counters()["instances"]["acme"]["duplicates"] == 0


class Troubled:
    """A worker with a Redis of its own, calls in flight and a backlog."""

    def __init__(self, stack: ExitStack, folder: Path, crm: HostedSimulator) -> None:
        folder.mkdir()
        (folder / "instances.toml").write_text(QUICK_CALLS.replace("call_seconds = 2", "call_seconds = 5"), "utf-8")
        self.server = stack.enter_context(redis_server.running(folder / "redis"))
        self.proxy = stack.enter_context(proxied(self.server.port))
        self.client = stack.enter_context(JobClient(self.server.url))
        environ = {"OPPSYNC_WATCHDOG_SECONDS": str(WATCHDOG_S), "OPPSYNC_CONCURRENCY": "5"}
        url = redis_server.url_at(self.proxy.port)
        self.worker = Worker(redis_url=url, crm_url=crm.url, folder=folder, environ=environ).start()
        stack.callback(lambda: self.worker.kill() if self.worker.running else None)
        self.jobs: list[str] = []

    def states(self) -> set[State]:
        """Where its jobs are."""
        return {one.state for one in self.client.outcomes(self.jobs)}

    def up_s(self) -> float:
        """How long the worker has been up, as it says itself."""
        for file in Path(self.worker.environ["OPPSYNC_HEALTH_DIR"]).glob("*.json"):
            beat = json.loads(file.read_text("utf-8"))
            return float(beat["at"]) - float(beat["started_at"])
        return 0.0

    def admin(self, *command: str) -> None:
        """A command for its Redis."""
        with redis.Redis.from_url(self.server.url) as admin:
            admin.execute_command(*command)


def test_a_worker_with_a_reason_to_stand_still_lives_on(crm: HostedSimulator, tmp_path: Path) -> None:
    """Idle, or held; Redis frozen, away or full; stopped itself: for far longer than patience."""
    crm.configure(latency_ms=1500)
    with ExitStack() as stack:
        idle, frozen, refused, full, stopped = (
            Troubled(stack, tmp_path / name, crm) for name in ("idle", "frozen", "refused", "full", "stopped")
        )
        trouble: dict[Troubled, Callable[[], object]] = {
            frozen: frozen.proxy.freeze,
            refused: refused.proxy.refuse,
            full: lambda: full.admin("CONFIG", "SET", "maxmemory", "1"),
            stopped: lambda: os.kill(stopped.worker.pid, signal.SIGSTOP),
        }
        troubled = list(trouble)
        for number, one in enumerate(troubled):
            one.jobs = one.client.enqueue_many(deal("deal", 100 * number + lead) for lead in range(1, 13))

        def all_are_in_trouble() -> bool:
            # Each in the middle of its work: some start many seconds after others.
            for one in list(trouble):
                if State.SENDING in one.states():
                    trouble.pop(one)()
            return not trouble

        eventually(all_are_in_trouble, within_s=60, what="five workers")
        eventually(lambda: idle.up_s() > 0)
        began = idle.up_s()
        idle.admin("HSET", "oppsync:hold:acme", "cause", "operator")
        idle.jobs = idle.client.enqueue_many(deal("held", lead) for lead in range(1, 4))
        eventually(lambda: idle.up_s() > began + 32, within_s=60, what="half a minute in which nobody ends itself")
        frozen.proxy.flow()
        refused.proxy.flow()
        full.admin("CONFIG", "SET", "maxmemory", "0")
        os.kill(stopped.worker.pid, signal.SIGCONT)

        assert idle.states() == {State.HELD}
        for one in (frozen, refused, full):
            eventually(
                lambda one=one: one.states() == {State.SUCCEEDED}, within_s=60, what=f"the jobs of {one.worker.log}"
            )
        # Calls of a process that was stopped have outlived their deadline.
        over = {State.SUCCEEDED, State.IN_DOUBT}
        eventually(lambda: {State.SUCCEEDED} <= stopped.states() <= over, within_s=60)
        for one in [idle, *troubled]:
            assert one.worker.running, one.worker.said()[-2000:]
            assert "watchdog" not in one.worker.said()
    assert crm.counters()["instances"]["acme"]["duplicates"] == 0

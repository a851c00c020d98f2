"""`bash ops/demo`: see the package. `--kill` also kills the worker in the middle, and starts it again."""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from redis import Redis
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from oppsync import JobClient, Outcome, State
from oppsync_ops.demo.audit import audit
from oppsync_ops.demo.sample import INSTANCES, RIGHT_COLUMN, write_sample
from oppsync_ops.demo.stage import Stage
from oppsync_ops.jobs.facts import history
from oppsync_ops.processes import stoppable
from oppsync_ops.redis_server import NoRedisServer
from oppsync_worker.ledger import keys
from oppsync_worker.ledger.connect import LedgerError

PATIENCE_S = 90.0
TELL_EVERY_S = 3.0
ENDED = frozenset({State.SUCCEEDED, State.DEAD})
QUIET = ENDED | {State.BLOCKED}
"""Where a job may rest when nothing more happens to it by itself: some updates wait for a create that is dead."""

FAULTS = [
    "throttle_burst:n=5,method=PUT,times=1",
    "http:status=503,method=PUT,p=0.05",
    "gateway:status=502,method=PUT,times=2",
    "slow:ms=900,method=POST,times=3",
]


class Show:
    """What the person at the terminal sees."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)

    def step(self, words: str) -> None:
        """A heading."""
        self.console.print(f"\n[bold]{words}[/bold]")

    def command(self, stage: Stage, *arguments: str) -> str:
        """Run a command, and show both it and what it says."""
        self.console.print(f"[cyan]$ oppsync {' '.join(arguments)}[/cyan]")
        _, said = stage.run(*arguments)
        self.console.print(said.rstrip(), markup=False)
        return said


def main() -> int:
    """Run the demo; 1 when a job was lost or doubled, or did not succeed in the end."""
    parser = argparse.ArgumentParser(prog="ops/demo", description="The main job, end to end, on real parts.")
    parser.add_argument("--kill", action="store_true", help="kill -9 the worker in the middle, and start it again")
    asked = parser.parse_args()
    folder = Path(".oppsync") / f"demo-{os.getpid()}"
    try:
        with stoppable(), Stage(folder) as stage:
            return run(stage, Show(), kill=asked.kill)
    except (NoRedisServer, LedgerError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; everything was stopped\n")
        return 130


def run(stage: Stage, show: Show, *, kill: bool) -> int:
    """The story."""
    show.step("1. Redis and a simulated SprintHub are up, on loopback")
    show.console.print(f"   redis://127.0.0.1:{stage.redis_port}   {stage.crm_url}")
    sample = write_sample(stage.folder / "sample.csv")
    for fault in [*(f"drop_after_commit:method=POST,marker={one},times=1" for one in sample.doubtful), *FAULTS]:
        stage.simulator("faults", fault)

    show.step("2. A file from a spreadsheet: semicolons, R$ 1.234,56, three bad lines. Nothing is half-sent")
    show.command(stage, "enqueue", "file", str(sample.path))
    show.step("   ...so the bad lines are left out, knowingly")
    show.command(stage, "enqueue", "file", str(sample.path), "--skip-bad")

    jobs = [*sample.creates, *sample.updates]
    show.step(f"3. A worker starts, and {len(jobs)} jobs go to two instances through their budgets, with faults on")
    stage.start_worker()
    with JobClient(stage.redis_url) as client:
        if kill:
            _until(client, jobs, Progress(console=show.console), lambda seen: seen[State.SUCCEEDED] > len(jobs) // 3)
            show.console.print("   kill -9 of the worker, and a new one")
            stage.kill_worker()
            stage.start_worker()
        settled = _settle(client, jobs, show)
        _table(show, client.outcomes(jobs))

        show.step("4. Dead letters: looked at, mended, replayed. Same job id, and never two copies")
        show.command(stage, "dead", "list")
        show.command(stage, "dead", "show", sample.rejected[0])
        mend = ("dead", "replay", "--cause", "rejected", "--set", f"crm_column={RIGHT_COLUMN}")
        show.command(stage, *mend)
        show.command(stage, *mend, "--yes")
        settled = _settle(client, jobs, show, quiet=ENDED) and settled

        show.step("5. Three answers of the CRM were lost: workers looked for the records, and sent nothing blindly")
        show.command(stage, "doubt", "list")
        show.command(stage, "job", "show", sample.doubtful[0])

        show.step("6. The outcome of one job, as any Celery application reads it with AsyncResult(job_id)")
        show.command(stage, "job", "show", sample.rejected[0])
        doubts = _doubts_settled(stage.redis_url, jobs)
        return _verdict(stage, show, client.outcomes(jobs), settled=settled, doubts=doubts)


def _settle(client: JobClient, jobs: list[str], show: Show, *, quiet: frozenset[State] = QUIET) -> bool:
    return _until(
        client, jobs, Progress(console=show.console), lambda seen: sum(seen[one] for one in quiet) == len(jobs)
    )


def _until(client: JobClient, jobs: list[str], progress: Progress, enough: Callable[[Counter[State]], bool]) -> bool:
    """Look at all jobs until it is enough; on a terminal with a bar, elsewhere with a line every few seconds."""
    deadline, told = time.monotonic() + PATIENCE_S, 0.0
    plain = not progress.console.is_terminal
    with progress:
        bar = progress.add_task("   jobs settled", total=len(jobs), visible=not plain)
        while time.monotonic() < deadline:
            seen = Counter(outcome.state for outcome in client.outcomes(jobs))
            settled = sum(seen[one] for one in QUIET)
            progress.update(bar, completed=settled)
            if plain and time.monotonic() - told > TELL_EVERY_S:
                told = time.monotonic()
                progress.console.print(f"   {settled}/{len(jobs)} settled")
            if enough(seen):
                return True
            time.sleep(0.1)
    return False


def _table(show: Show, outcomes: list[Outcome]) -> None:
    table = Table(title="Outcomes", title_justify="left")
    states = sorted({outcome.state for outcome in outcomes}, key=str)
    for column in ("instance", "kind", *states):
        table.add_column(str(column))
    for instance in INSTANCES:
        for kind in ("create", "update"):
            counts = Counter(o.state for o in outcomes if o.instance == instance and (o.kind or "").endswith(kind))
            table.add_row(instance, kind, *(str(counts[state]) for state in states))
    show.console.print(table)


def _doubts_settled(url: str, jobs: list[str]) -> int:
    """Jobs that were looked for in the CRM, and are in doubt no more."""
    with Redis.from_url(url) as ledger:
        looked_for = [job for job in jobs if any(event.get("event") == "look_up" for event in history(ledger, job))]
        left = set(looked_for) & {job_id.decode() for job_id in ledger.zrange(keys.IN_DOUBT, 0, -1)}
    return len(looked_for) - len(left)


def _verdict(stage: Stage, show: Show, outcomes: list[Outcome], *, settled: bool, doubts: int) -> int:
    show.step("7. The CRM's records against the jobs")
    records = {instance: stage.simulator(f"records?instance={instance}")["records"] for instance in INSTANCES}
    found = audit({outcome.job_id: outcome for outcome in outcomes}, records)
    counts = Counter(outcome.state for outcome in outcomes)
    for line in found.lost[:10]:
        show.console.print(f"   lost: {line}")
    if not settled:
        show.console.print(f"   not everything settled within {PATIENCE_S:g} s; the worker's last words:", markup=False)
        show.console.print(stage.worker_log_tail(), markup=False)
    last = {
        "enqueued": len(outcomes),
        "succeeded": counts[State.SUCCEEDED],
        "dead": counts[State.DEAD],
        "in_doubt": counts[State.IN_DOUBT],
        "doubts_settled": doubts,
        "replayed": sum(outcome.replays > 0 for outcome in outcomes),
        "crm_records": found.records,
        "duplicates": found.duplicates,
        "lost": len(found.lost),
    }
    sys.stdout.flush()
    print(json.dumps(last), flush=True)
    return 1 if last["lost"] or last["duplicates"] or last["succeeded"] != last["enqueued"] or not settled else 0


if __name__ == "__main__":
    raise SystemExit(main())

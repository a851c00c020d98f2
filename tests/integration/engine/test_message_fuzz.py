"""Thousands of drawn messages among good jobs, over the whole chain: no good job feels them, and none gets lost.

    OPPSYNC_FUZZ_SEED=7 OPPSYNC_FUZZ_MESSAGES=50000 pytest tests/integration/engine/test_message_fuzz.py

draws others, and more of them. What fails says its seed.
"""

import base64
import contextlib
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest
import redis
from click.testing import CliRunner

from integration.engine.hostile import LISTS, Drawn
from oppsync import CreateOpportunity, JobClient, UpdateOpportunity
from oppsync_ops.cli.root import oppsync
from oppsync_ops.cli.showing import in_full
from oppsync_ops.letters.discard import discard
from oppsync_ops.letters.export import exported
from oppsync_ops.letters.filters import Filter, letters
from oppsync_ops.letters.letter import Letter
from oppsync_ops.simulator import HostedSimulator
from oppsync_worker.contract.names import RESULT_KEY_PREFIX
from oppsync_worker.contract.wire import kwargs_of
from oppsync_worker.ledger import keys
from stage import Worker, eventually

SEED = int(os.environ.get("OPPSYNC_FUZZ_SEED", "8"))
MESSAGES = int(os.environ.get("OPPSYNC_FUZZ_MESSAGES", "1500"))
GOOD = 80
"""Of each of four sorts."""
PATIENCE_S = 100 + MESSAGES / 10

ELSEWHERE = frozenset({"held", "scheduled", "blocked"})
"""What a drawn message may come to that is a job after all: it waits for a worker, for its time, for its create."""
ENDED = frozenset({"succeeded", "expired", "discarded"})
DRAWN_CAUSES = frozenset({"undecodable", "malformed", "invalid", "oversized", "unknown_task"})


class Good:
    """Good jobs: own and another application's, a create and the update that waits for it."""

    def __init__(self, client: JobClient, ledger: redis.Redis) -> None:
        self._client, self._ledger = client, ledger
        self.ids: list[str] = []
        self.refs: list[str] = []

    def push(self) -> None:
        """One of each sort."""
        for own in (True, False):
            ref = f"good-{len(self.ids)}"
            create = CreateOpportunity(
                instance="acme", funnel_id=7, title="Good", crm_column=130, lead_id=1, external_ref=ref
            )
            update = UpdateOpportunity(instance="acme", funnel_id=7, external_ref=ref, title="Better", lane="bulk")
            for job in (create, update):
                if own:
                    self._client.enqueue(job)
                else:
                    self._ledger.lpush("opportunities.bulk", foreign(job.kind.value, job.job_id, kwargs_of(job)))
                self.ids.append(job.job_id)
            self.refs.append(ref)

    def one_that_stands(self, random: Random) -> str | None:
        """The id of one that is known: of two messages under one id, the first that is read is the job."""
        job_id = random.choice(self.ids[-40:]) if self.ids else ""
        return job_id if self._ledger.hget(keys.job(job_id), "kind") else None


def foreign(task: str, job_id: str, kwargs: dict[str, Any]) -> bytes:
    """As Celery writes it."""
    body = json.dumps([[], kwargs, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    return json.dumps(
        {
            "body": base64.b64encode(body.encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"task": task, "id": job_id, "origin": "gen1@elsewhere", "retries": 0},
            "properties": {"body_encoding": "base64", "delivery_info": {}, "delivery_tag": str(uuid4())},
        }
    ).encode()


def rested(ledger: redis.Redis) -> bool:
    """Whether nothing is in a lane or in a worker's hands."""
    return not any(ledger.llen(name) for name in LISTS) and not ledger.zcard(keys.LEASES)


def all_ended(client: JobClient, job_ids: list[str]) -> bool:
    """Whether nothing more happens to these jobs."""
    return all(outcome.state.is_terminal for outcome in client.outcomes(job_ids))


def places(ledger: redis.Redis) -> tuple[Counter[bytes], dict[str, str]]:
    """Every message that is kept somewhere, and every job's state."""
    kept: Counter[bytes] = Counter()
    states: dict[str, str] = {}
    for key in ledger.scan_iter(f"{keys.PREFIX}job:*", count=1000):
        state, message = ledger.hmget(key, ["state", "message"])
        states[key.decode().removeprefix(f"{keys.PREFIX}job:")] = (state or b"").decode()
        if message is not None:
            kept[message] += 1
    return kept, states


def job_id_of(raw: bytes) -> str | None:
    """The id under which a drawn message may have become a job."""
    try:
        found = json.loads(raw)["headers"]["id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


@pytest.mark.timeout(PATIENCE_S * 2)
@pytest.mark.parametrize("seed", [SEED])
def test_no_drawn_message_is_felt_by_a_good_job_or_gets_lost(
    client: JobClient,
    worker: Callable[..., Worker],
    ledger: redis.Redis,
    crm: HostedSimulator,
    redis_url: str,
    tmp_path: Path,
    seed: int,
) -> None:
    """The worker lives, all good jobs succeed once, and every letter can be shown, exported and discarded."""
    process = worker()
    good = Good(client, ledger)
    order = Random(seed)
    drawn = Drawn(seed, taken=lambda: good.one_that_stands(order))
    pushed: list[bytes] = []
    for number in range(MESSAGES):
        if number % max(1, MESSAGES // GOOD) == 0:
            good.push()
        pushed.append(drawn.message())
        ledger.lpush(order.choice(LISTS), pushed[-1])

    with contextlib.suppress(AssertionError):  # what has not ended by then is told below
        eventually(
            lambda: not process.running or (rested(ledger) and all_ended(client, good.ids)),
            within_s=PATIENCE_S,
        )

    assert process.running, f"seed {seed}: the worker ended:\n{process.said()[-3000:]}"
    assert process.process is not None
    assert process.said().count('"event": "worker_ready"') <= 1
    told = Counter((one.state.value, one.cause, one.detail) for one in client.outcomes(good.ids))
    assert set(told) == {("succeeded", None, None)}, f"seed {seed}: {told}"
    assert rested(ledger), f"seed {seed}: messages are still under way"
    records = Counter(record["fields"].get("oppsync") for record in crm.records("acme") if record["title"] == "Better")
    assert len(records) == len(good.refs), f"seed {seed}: not one record for each good create"
    assert set(records.values()) == {1}, f"seed {seed}: a record was made twice"
    kept, states = places(ledger)
    lost = [
        raw
        for raw, times in Counter(pushed).items()
        if kept[raw] < times and states.get(job_id_of(raw) or "") not in ENDED | ELSEWHERE | {"dead"}
    ]
    assert not lost, f"seed {seed}: {len(lost)} are nowhere, such as {lost[0][:500]!r}"
    assert not ledger.zcard(keys.IN_DOUBT)
    assert set(states.values()) <= ENDED | ELSEWHERE | {"dead"}
    assert not unreadable_lines(process.said()), f"seed {seed}: {unreadable_lines(process.said())[:3]}"
    found = list(letters(ledger, Filter(), now=2**53))
    assert {letter.cause for letter in found} >= DRAWN_CAUSES, f"seed {seed}: it draws too little"
    internal = [letter for letter in found if letter.cause in ("internal", "poison")]
    assert not internal, f"seed {seed}: {len(internal)} that nobody understood, such as {internal[0]}"
    all_can_be_handled(ledger, redis_url, tmp_path, seed)


def unreadable_lines(said: str) -> list[str]:
    """Lines of the log, from the first one on, that are no JSON object: something has written into it as it liked."""
    bad = []
    for line in said[said.index('{"time"') :].splitlines():
        try:
            if isinstance(json.loads(line), dict):
                continue
        except ValueError:
            pass
        bad.append(line)
    return bad


def all_can_be_handled(ledger: redis.Redis, redis_url: str, tmp_path: Path, seed: int) -> None:
    """Every dead letter, by the commands' own code; a few by the commands themselves."""
    found = list(letters(ledger, Filter(), now=2**53))
    assert len(found) == ledger.zcard(keys.DEAD)
    for letter in found:
        assert letter.detail, f"seed {seed}: no sentence for {letter}"
        assert len(letter.detail) < 3_000
        assert letter.detail.isprintable(), f"seed {seed}: {letter.detail!r}"
        if not letter.is_raw:
            result = json.loads(ledger.get(RESULT_KEY_PREFIX + letter.job_id) or b"{}")
            assert result.get("status") == "FAILURE", f"seed {seed}: nobody is told of {letter}"
    for reveal in (True, False):
        strict(json.dumps(in_full(ledger, found, reveal=reveal), default=str))
        for line in exported(ledger, iter(found), raw=reveal):
            strict(line)
    by_command(found, redis_url, tmp_path)
    counts = discard(ledger, [letter.job_id for letter in found], by="the test", ttl_s=60)
    assert counts.done == len(found), f"seed {seed}: {counts}"
    assert ledger.zcard(keys.DEAD) == 0


def by_command(found: list[Letter], redis_url: str, tmp_path: Path) -> None:
    """What an operator types."""
    some = [letter.job_id for letter in found[:: max(1, len(found) // 30)]]
    runner = CliRunner(env={"REDIS_URL": redis_url})
    for arguments in (
        ["dead", "list", "--json"],
        ["dead", "list"],
        ["dead", "show", "--json", *some],
        ["dead", "show", "--reveal", *some],
        ["dead", "export", "--raw", "-o", str(tmp_path / "letters.jsonl")],
        ["dead", "discard", "--cause", "undecodable", "--json"],
    ):
        done = runner.invoke(oppsync, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        if "--json" in arguments:
            strict(done.stdout)
        else:
            assert all(line.isprintable() for line in done.stdout.splitlines())
    assert len((tmp_path / "letters.jsonl").read_text("ascii").splitlines()) == len(found)


def strict(text: str) -> Any:
    """JSON as every program reads it: without NaN and Infinity."""

    def refused(word: str) -> Any:
        raise ValueError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refused)

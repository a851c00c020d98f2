"""The rights that the runbook gives to a worker's Redis user are enough for everything that a worker does."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from oppsync import CreateOpportunity, JobClient, State
from oppsync_ops import redis_server
from oppsync_ops.simulator import HostedSimulator
from stage import Worker, eventually

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "ops" / "docs" / "runbook.md").read_text("utf-8")
(WORKER,) = [line.split() for line in RUNBOOK.splitlines() if line.startswith("ACL SETUSER oppsync-worker ")]
SCRIPTS = ROOT / "worker" / "oppsync_worker" / "ledger" / "lua"


def commands(text: str) -> Iterator[str]:
    """Redis' commands in a script; one that is chosen in the call (`front and 'RPUSH' or 'LPUSH'`) too."""
    for call in re.findall(r"redis\.call\(([^,)]+)", text):
        yield from (name.lower() for name in re.findall(r"'([A-Z]+)'", call))


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.lua")), ids=lambda path: path.stem)
def test_every_command_of_every_script_is_permitted(script: Path) -> None:
    """A script that is refused in the middle leaves its work half done."""
    allowed = {word.removeprefix("+") for word in WORKER if word.startswith("+")}

    assert set(commands(script.read_text("utf-8"))) - allowed == set()


def test_a_worker_with_these_rights_delivers_and_is_refused_nothing(crm: HostedSimulator, tmp_path: Path) -> None:
    """With a limited budget, a transient failure and a rejection; Redis' own log of refusals stays empty."""
    with redis_server.running(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as admin:
        admin.execute_command(*WORKER)
        password = next(word.removeprefix(">") for word in WORKER if word.startswith(">"))
        url = f"redis://oppsync-worker:{password}@127.0.0.1:{server.port}/0"
        (tmp_path / "instances.toml").write_text(
            '[acme]\ntoken = "acme-token-1234"\n[acme.budget]\nrequests = 20\nwindow_seconds = 2\nconcurrency = 2\n',
            "utf-8",
        )
        worker = Worker(redis_url=url, crm_url=crm.url, folder=tmp_path).start()
        try:
            with JobClient(server.url) as client:
                jobs = client.enqueue_many(deal(column=130, lead=number) for number in range(1, 25))
                bad = client.enqueue(deal(column=999, lead=99))

                eventually(lambda: {one.state for one in client.outcomes(jobs)} == {State.SUCCEEDED}, within_s=40)
                assert client.wait(bad, timeout_s=20).state == State.DEAD
            assert worker.stop() == 0
        finally:
            if worker.running:
                worker.kill()
        refused: Any = admin.acl_log()
        # At its start it asks for the rights of `default`, where they matter, and does without the answer.
        assert [(one["reason"], one["object"]) for one in refused if one["object"] != "acl|getuser"] == []


def deal(*, column: int, lead: int) -> CreateOpportunity:
    """A create."""
    return CreateOpportunity(instance="acme", funnel_id=7, title="T", crm_column=column, lead_id=lead)

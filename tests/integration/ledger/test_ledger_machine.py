"""Random lives of jobs against the real scripts: whatever meets whatever, the laws of the ledger hold.

After every step the whole ledger is looked at (`laws`); in the end all that can go on must end.
"""

import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from integration.ledger.machine import Lives


def test_whatever_happens_the_laws_hold(ledger: redis.Redis) -> None:
    """A few thousand steps, another way each time."""

    class Here(Lives):
        """On this server."""

        client = ledger

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=150,
            stateful_step_count=60,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )

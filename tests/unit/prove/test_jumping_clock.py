"""A process whose wall clock jumps, as its code sees it."""

import json
import subprocess
import sys

PROGRAM = """
import json, os, signal, time
from oppsync_ops.prove.jumping_clock import install
install(-3600.0)
from datetime import UTC, datetime
before = time.monotonic()

def clocks():
    return {
        "time": time.time(),
        "time_ns": time.time_ns() / 1e9,
        "now": datetime.now(UTC).timestamp(),
        "utcnow": datetime.utcnow().replace(tzinfo=UTC).timestamp(),
        "today": datetime.today().timestamp(),
        "gmtime": time.mktime(time.localtime()),
    }

told = [clocks()]
for _ in range(2):
    os.kill(os.getpid(), signal.SIGUSR2)
    told.append(clocks())
assert isinstance(datetime.fromtimestamp(0, UTC), datetime)
assert isinstance(datetime(2024, 1, 1) - datetime(2023, 1, 1), type(datetime.max - datetime.min))
print(json.dumps({"told": told, "monotonic": time.monotonic() - before, "of": time.gmtime(0).tm_year}))
"""


def test_every_wall_clock_jumps_and_comes_back_and_monotonic_time_does_not() -> None:
    """There at the first signal, back at the second."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM], stdout=subprocess.PIPE, check=True, timeout=60
    )

    seen = json.loads(done.stdout)

    true, jumped, back = seen["told"]
    for clock, at in true.items():
        assert abs(at - 3600 - jumped[clock]) < 30, clock
        assert abs(at - back[clock]) < 30, clock
    assert 0 <= seen["monotonic"] < 30
    assert seen["of"] == 1970

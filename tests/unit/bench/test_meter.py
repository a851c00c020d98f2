"""CPU time between two moments, from samples."""

import subprocess
import sys

from oppsync_ops.bench.meter import PROC, Meter, Sample, cpu_between
from stage import eventually

SAMPLES = [Sample(10.0, 1.0), Sample(12.0, 2.0), Sample(14.0, 6.0)]


def test_cpu_is_read_off_straight_lines_between_samples() -> None:
    """From half-way up the first line to half-way up the second."""
    assert cpu_between(SAMPLES, 11.0, 13.0) == 2.5
    assert cpu_between(SAMPLES, 10.0, 12.0) == 1.0


def test_cpu_outside_of_the_samples_is_unknown() -> None:
    """No guess before the first sample, nor after the last, nor without any."""
    assert cpu_between(SAMPLES, 9.0, 13.0) is None
    assert cpu_between(SAMPLES, 11.0, 15.0) is None
    assert cpu_between([], 1.0, 2.0) is None


def test_a_meter_samples_a_group_or_nothing_where_there_is_no_proc() -> None:
    """A busy process that leads a group: its CPU time grows, its memory is not nothing."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True) as busy:
        try:
            with Meter(busy.pid) as meter:
                eventually(lambda: len(meter.samples) > 1 or not PROC.is_dir())
        finally:
            busy.kill()

    assert sorted(meter.samples, key=lambda sample: sample.cpu_s) == meter.samples
    assert (meter.peak_bytes > 0) == PROC.is_dir()

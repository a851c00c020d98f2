"""The outcome of a flood, for a person and for a program."""

from dataclasses import asdict
from typing import Any

from oppsync_ops.cli.output import Column, Row, print_facts, print_lines, print_table
from oppsync_ops.prove.flood.audit import KINDS
from oppsync_ops.prove.flood.result import FloodOptions, FloodResult
from oppsync_ops.prove.flood.run import DEEP
from oppsync_ops.prove.flood.setting_up import CONCURRENCY, LATENCY_MS, PROBES_S


def as_document(result: FloodResult) -> dict[str, Any]:
    """Plain JSON values."""
    return {
        **asdict(result.options),
        "handed": result.handed,
        "kills": {"worker": result.worker_kills, "redis": result.redis_kills, "jobs_in_hand": result.in_hand},
        "breaches": {kind: result.found.counts[kind] for kind in KINDS},
        "examples": result.found.examples,
        "put_right_by_the_sweep": result.strays,
        "exits": list(result.exits),
        "gave_up": result.gave_up,
        "seconds": result.seconds,
        "hand_over_s": result.hand_over_s,
        "jobs_per_s": result.rate,
        "requests": result.requests,
        "look_ups": result.look_ups,
        "repeated": result.repeated,
        "peaks_mib": result.peaks_mib,
        "settings": settings(result.options),
    }


def settings(options: FloodOptions) -> dict[str, str]:
    """What the figures rest on."""
    probes = ", ".join(f"{after:g}" for after in PROBES_S)
    return {
        "redis": "appendonly yes, appendfsync always",
        "budget": "none; as many requests in flight as the workers have hands",
        "workers": f"{options.workers} processes, {CONCURRENCY} calls in flight each",
        "the CRM": f"answers after {LATENCY_MS:g} ms without a mistake; a lead without cards has an empty list",
        "jobs waiting": f"about {DEEP} at a time: handed over as they are worked off",
        "lease_seconds": f"{options.lease_s:g} (default 25)",
        "reconcile.probe_after_seconds": f"{probes} (default 5, 15, 45, 120, 300)",
        "order.settle_seconds": "3 (default 60)",
    }


def show_plan(options: FloodOptions) -> None:
    """What a flood would do, before anything is started."""
    print_lines([f"{options.jobs:,} jobs, {options.planned_kills} processes killed with SIGKILL.", ""])
    print_facts(settings(options))


def show(result: FloodResult, repeat: str) -> None:
    """One table, and what there is to say about it."""
    rows: list[Row] = [
        {"what": "jobs", "count": f"{result.handed:,}"},
        {"what": "workers killed (SIGKILL)", "count": result.worker_kills},
        {"what": "Redis killed (SIGKILL) and started again", "count": result.redis_kills},
        {"what": "jobs that killed workers had claimed", "count": f"{result.in_hand:,}"},
        *({"what": kind, "count": result.found.counts[kind]} for kind in KINDS),
        {"what": "orphaned jobs that the sweep repaired", "count": sum(result.strays.values())},
        {"what": "unexpected worker exits", "count": len(result.exits)},
        {"what": "requests at the CRM", "count": f"{result.requests:,}"},
        {"what": "of them look-ups for creates without an answer", "count": f"{result.look_ups:,}"},
        {"what": "seconds", "count": f"{result.seconds:.0f}"},
        {"what": "jobs a second, kills included", "count": f"{result.rate:.0f}"},
    ]
    rows += [{"what": f"most memory of {name}, MiB", "count": f"{mib:.0f}"} for name, mib in result.peaks_mib.items()]
    print_table(rows, [Column.of("what", "flood"), Column.of("count", "", right=True)])
    lines = [f"  {kind}: {says}" for kind, examples in result.found.examples.items() for says in examples]
    lines += [f"  {says}" for says in result.exits]
    if result.gave_up:
        lines.insert(0, "Given up: nothing had ended for too long. What was not handed over is not judged.")
    print_lines(["", *lines, "Settings of this run:"] if lines else ["", "Settings of this run:"])
    print_facts(settings(result.options))
    print_lines(["", f"To repeat: {repeat}"])

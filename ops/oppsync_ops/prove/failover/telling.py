"""The outcome of failovers, for a person and for a program."""

from dataclasses import asdict
from typing import Any, Final

from oppsync_ops.cli.output import Column, Row, print_facts, print_lines, print_table
from oppsync_ops.prove.failover.run import DOWN_S, LAG_S, LATENCY_MS, LEASE_S, FailoverOptions, FailoverRun

SHOWN: Final = 10


def as_document(run: FailoverRun) -> dict[str, Any]:
    """Plain JSON values."""
    return {
        **asdict(run.options),
        "breaches": {name: list(found) for name, found in run.audit.breaches.items()},
        "handed": len(run.evidence.acknowledged),
        "at_risk": len(run.audit.at_risk),
        "forgotten": list(run.audit.forgotten),
        "sent_again": list(run.audit.sent_again),
        "failovers": [asdict(one) for one in run.evidence.failovers],
        "repeated": run.repeated,
        "seconds": run.seconds,
        "settings": settings(run.options),
    }


def settings(options: FailoverOptions) -> dict[str, str]:
    """What the figures rest on."""
    return {
        "replication": f"asynchronous; the replica hears nothing for {LAG_S:g} s, then the primary is killed",
        "promotion": f"{DOWN_S:g} s later",
        "OPPSYNC_WAIT_REPLICAS": str(options.wait_replicas) if options.wait_replicas else "not set",
        "the CRM": f"answers after {LATENCY_MS[0]} to {sum(LATENCY_MS)} ms",
        "lease_seconds": f"{LEASE_S:g} (default 25)",
    }


def show_plan(options: FailoverOptions) -> None:
    """What would be done, before anything is started."""
    print_lines([f"About {options.jobs} jobs, {options.failovers} failovers in {options.load_s:g} s.", ""])
    print_facts(settings(options))


def show(run: FailoverRun, repeat: str) -> None:
    """One table, and what there is to say about it."""
    rows: list[Row] = [
        {"what": "jobs acknowledged", "count": len(run.evidence.acknowledged)},
        {"what": "primaries killed (SIGKILL), replicas promoted", "count": len(run.evidence.failovers)},
        {"what": "jobs acknowledged while the replica lagged", "count": len(run.audit.at_risk)},
        {"what": "of them forgotten by asynchronous replication", "count": len(run.audit.forgotten)},
        {"what": "creates sent again because their first send was forgotten", "count": len(run.audit.sent_again)},
        *({"what": f"breach: {name}", "count": len(found)} for name, found in run.audit.breaches.items()),
    ]
    print_table(rows, [Column.of("what", "failover"), Column.of("count", "", right=True)])
    lines = [f"  {name}: {says}" for name, found in run.audit.breaches.items() for says in found[:SHOWN]]
    print_lines(["", *lines, "Settings of this run:"])
    print_facts(settings(run.options))
    print_lines(["", f"To repeat: {repeat}"])

"""`oppsync instances`: what is configured here, and what Redis knows of it."""

import os
from typing import Any, Final
from urllib.parse import urlsplit

import click

from oppsync_ops.cli.connection import connected
from oppsync_ops.cli.failures import DONE
from oppsync_ops.cli.output import Column, Row, json_option, print_json, print_table
from oppsync_ops.jobs.moments import now_ms
from oppsync_ops.overview.budgets import read_budgets
from oppsync_ops.overview.holds import read_hold
from oppsync_worker.instances import InstanceSettings
from oppsync_worker.ledger.connect import LedgerError
from oppsync_worker.settings import Settings


def _pace(row: Row) -> str:
    budget = row["budget"]
    return f"{budget['requests']} / {budget['window_seconds']:g} s" if budget["requests"] else "no limit"


def _live(name: str) -> Any:
    return lambda row: (row["live"] or {}).get(name)


_COLUMNS: Final = (
    Column.of("name"),
    Column.of("address"),
    Column.of("token_configured", "token configured"),
    Column("budget", _pace),
    Column("learned", _live("learned_requests"), right=True),
    Column("cooling down until", _live("cooling_down_until")),
    Column("breaker", _live("breaker")),
    Column("waiting", _live("waiting"), right=True),
    Column("in flight", _live("in_flight"), right=True),
    Column("held", _live("held"), right=True),
    Column("hold", _live("hold")),
)


@click.command()
@json_option
def instances(*, as_json: bool) -> int:
    """Show the configured instances: never a token, only whether there is one.

    When Redis does not answer, the settings are shown all the same, and the exit code is 1.
    """
    settings = Settings.from_environ(os.environ)
    names = sorted(settings.instances)
    away: LedgerError | None = None
    live: list[dict[str, Any] | None] = [None] * len(names)
    try:
        live = list(_look(names))
    except LedgerError as error:
        away = error
    rows = [_row(settings.instances[name], facts) for name, facts in zip(names, live, strict=True)]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, _COLUMNS)
    if away:
        raise away
    return DONE


def _look(names: list[str]) -> list[dict[str, Any]]:
    with connected() as client:
        now = now_ms(client)
        budgets = [budget.as_dict(now) for budget in read_budgets(client, names, now=now)]
        holds = [read_hold(client, name) for name in names]
    return [budget | {"hold": hold.cause if hold else None} for budget, hold in zip(budgets, holds, strict=True)]


def _row(instance: InstanceSettings, live: dict[str, Any] | None) -> dict[str, Any]:
    address = urlsplit(instance.base_url)
    return {
        "name": instance.name,
        # Without what may stand before an @.
        "address": f"{address.scheme}://{address.hostname}" + (f":{address.port}" if address.port else ""),
        "token_configured": bool(instance.token.get_secret_value()),
        "bearer_configured": instance.bearer is not None,
        "marker_field_configured": instance.marker_field is not None,
        "budget": {
            "requests": instance.budget.requests,
            "window_seconds": instance.budget.window_seconds,
            "concurrency": instance.budget.concurrency,
            "cool_down_seconds": instance.budget.cool_down_seconds,
        },
        "live": live,
    }

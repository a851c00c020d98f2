"""The options that say which dead letters are meant, and the same said again in words of the command line."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from oppsync_ops.cli.given import Age, KindOfJob
from oppsync_ops.jobs.moments import Bound, iso, moment
from oppsync_ops.letters.filters import Filter
from oppsync_ops.numbers_given import MOST
from oppsync_worker.contract.names import Kind
from oppsync_worker.contract.states import Cause

_OPTIONS = (
    click.argument("job_ids", nargs=-1, metavar="[ID]..."),
    click.option("--id", "more_ids", multiple=True, metavar="ID", help="This letter. Repeatable."),
    click.option("--instance", help="Letters of this instance."),
    click.option("--kind", type=KindOfJob(), help="Letters of this kind."),
    click.option("--cause", type=click.Choice([cause.value for cause in Cause]), help="Letters buried for this cause."),
    click.option("--older-than", type=Age(), help="Letters buried before: 2h, 7d, or 2024-03-21T21:27:00Z."),
    click.option("--newer-than", type=Age(), help="Letters buried after."),
    click.option("--limit", type=click.IntRange(1, MOST), help="At most so many, the oldest first."),
)


def takes_filter(function: Callable[..., int]) -> Callable[..., int]:
    """Gives a command the options above, gathered into its argument `wanted`."""

    @wraps(function)
    def gathered(
        *,
        job_ids: tuple[str, ...],
        more_ids: tuple[str, ...],
        instance: str | None,
        kind: Kind | None,
        cause: str | None,
        older_than: Bound | None,
        newer_than: Bound | None,
        limit: int | None,
        **others: Any,
    ) -> int:
        wanted = Filter(
            job_ids=tuple(dict.fromkeys((*job_ids, *more_ids))),
            instance=instance,
            kind=kind,
            cause=Cause(cause) if cause else None,
            older_than=older_than,
            newer_than=newer_than,
            limit=limit,
        )
        return function(wanted=wanted, **others)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered


def as_options(wanted: Filter, *, now: int) -> list[str]:
    """The options that mean the same letters later on: ages become times, and what is buried after now is out."""
    options = [part for job_id in wanted.job_ids for part in ("--id", job_id)]
    if wanted.instance:
        options += ["--instance", wanted.instance]
    if wanted.kind:
        options += ["--kind", wanted.kind.name.lower()]
    if wanted.cause:
        options += ["--cause", wanted.cause.value]
    if wanted.newer_than:
        options += ["--newer-than", str(iso(moment(wanted.newer_than.ms(now))))]
    if wanted.older_than or not wanted.job_ids:
        options += ["--older-than", str(iso(moment(wanted.before(now))))]
    if wanted.limit:
        options += ["--limit", str(wanted.limit)]
    return options

"""Kinds of values that several commands take, and who gives them."""

import getpass
from typing import Final

import click

from oppsync_ops.jobs.moments import Bound
from oppsync_worker.contract.names import Kind

_KINDS: Final = {spelling: kind for kind in Kind for spelling in (kind.value, kind.name.lower())}


class Age(click.ParamType[Bound]):
    """A point in time: an age or a time."""

    name = "age or time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Bound:
        """Read it."""
        if isinstance(value, Bound):
            return value
        try:
            return Bound.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class KindOfJob(click.ParamType[Kind]):
    """`create` or `update`, or the task's name."""

    name = "create|update"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Kind:
        """Read it."""
        kind = _KINDS.get(str(value).strip().lower())
        if kind is None:
            self.fail("must be create or update", param, ctx)
        return kind


def operator() -> str:
    """Who does this, for a job's history: the name this user has on this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"

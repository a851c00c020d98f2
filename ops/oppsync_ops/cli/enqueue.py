"""`oppsync enqueue`: the group."""

import click

from oppsync_ops.cli.lazy import Lazy, LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={
        "create": Lazy("oppsync_ops.cli.enqueue_one:create", "One job that creates an opportunity."),
        "update": Lazy("oppsync_ops.cli.enqueue_one:update", "One job that changes an opportunity."),
        "file": Lazy("oppsync_ops.cli.enqueue_file:file", "The jobs of a CSV or JSON-lines file."),
    },
)
def enqueue() -> None:
    """Hand over jobs. They are recorded when this command ends; workers deliver them later."""

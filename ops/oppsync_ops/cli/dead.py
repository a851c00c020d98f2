"""`oppsync dead`: the group."""

import click

from oppsync_ops.cli.lazy import Lazy, LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={
        "list": Lazy("oppsync_ops.cli.dead_looking:list_letters", "Which there are, oldest first."),
        "show": Lazy("oppsync_ops.cli.dead_looking:show", "One letter: its job, its cause, its history."),
        "replay": Lazy("oppsync_ops.cli.dead_acting:replay", "Send letters back to their lanes."),
        "discard": Lazy("oppsync_ops.cli.dead_acting:discard", "Drop letters for good."),
        "export": Lazy("oppsync_ops.cli.dead_export:export", "Write letters as JSON lines."),
    },
)
def dead() -> None:
    """Dead letters: jobs that will not be tried again until somebody decides.

    Find out why they died (list, show), mend the cause, then replay them; a replayed job keeps its id.
    """

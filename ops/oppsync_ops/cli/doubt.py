"""`oppsync doubt`: the group."""

import click

from oppsync_ops.cli.lazy import Lazy, LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={
        "list": Lazy("oppsync_ops.cli.doubt_looking:list_doubts", "Which there are, oldest first."),
        "show": Lazy("oppsync_ops.cli.doubt_looking:show", "One doubt beside the records that may be it."),
        "look": Lazy("oppsync_ops.cli.doubt_acting:look", "Have workers look in the CRM again, now."),
        "adopt": Lazy("oppsync_ops.cli.doubt_acting:adopt", "Say which record it has made."),
        "resend": Lazy("oppsync_ops.cli.doubt_acting:resend", "Say that it has made none: it goes again."),
        "discard": Lazy("oppsync_ops.cli.doubt_acting:discard", "Drop it for good."),
    },
)
def doubt() -> None:
    """Creates in doubt: they may or may not have made a record, and are never sent again blindly.

    Workers look for the record in the CRM and settle most of them. What they cannot tell is left to a person: look
    (list, show), then adopt the record, send the job again, or drop it.
    """

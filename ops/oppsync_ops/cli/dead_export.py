"""`oppsync dead export`."""

from pathlib import Path

import click

from oppsync_ops.cli.connection import connected
from oppsync_ops.cli.failures import BAD_NEWS, DONE
from oppsync_ops.cli.letter_options import takes_filter
from oppsync_ops.cli.output import note
from oppsync_ops.jobs.moments import now_ms
from oppsync_ops.letters.export import exported, private_file
from oppsync_ops.letters.filters import Filter, letters
from oppsync_ops.processes import stoppable


@click.command()
@takes_filter
@click.option("--raw", is_flag=True, help="Include whole messages, personal data and all.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="File to write, mode 0600.")
@click.option("--overwrite", is_flag=True, help="Replace the file if there is one.")
def export(*, wanted: Filter, raw: bool, output: Path | None, overwrite: bool) -> int:
    """Write dead letters as JSON lines, to a file or to stdout; all of them unless a filter is given."""
    # So that a file that was begun is taken away whoever ends this.
    with stoppable(), connected() as client:
        lines = exported(client, letters(client, wanted, now=now_ms(client)), raw=raw)
        written = 0
        if output is None:
            for line in lines:
                click.echo(line)
                written += 1
        else:
            try:
                with private_file(output, overwrite=overwrite) as file:
                    for line in lines:
                        file.write(line + "\n")
                        written += 1
            except FileExistsError:
                raise click.UsageError(f"{output} exists: give another name, or --overwrite") from None
            except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
                raise click.UsageError(f"cannot write {output}: {error.strerror}") from None
    note(f"{written} letters exported")
    return DONE if written else BAD_NEWS

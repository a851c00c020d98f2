"""From an error to one line on stderr and an exit code.

| error | exit |
|---|---|
| wrong options, settings, job fields or file | 2 |
| no address of Redis | 2 |
| Redis away, loading, read-only or full; no Redis program; a wait that ran out | 1 |
| interrupted | 130 |
| anything else is an error of this software | 1 |

The texts come from errors that are made without secrets. The text of an unexpected error is not printed: nobody knows
what it quotes.
"""

import os
import traceback
from typing import Final

import click

from oppsync_ops.cli.output import note

DONE: Final = 0
BAD_NEWS: Final = 1
USED_WRONGLY: Final = 2
INTERRUPTED: Final = 130


def report(error: Exception) -> int:
    """Say what went wrong and give the exit code for it."""
    if os.environ.get("OPPSYNC_DEBUG", "") not in {"", "0"} and not isinstance(error, click.exceptions.Abort):
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.ctx.get_help() if error.ctx else error.format_message(), err=True)
        return USED_WRONGLY
    code, lines = _verdict(error)
    for line in lines:
        note(line)
    return code


def _verdict(error: Exception) -> tuple[int, list[str]]:
    match error:
        case click.exceptions.Abort():
            return INTERRUPTED, []
        case click.UsageError(ctx=click.Context(command_path=path)):
            return USED_WRONGLY, [f"{error.format_message()} (see `{path} --help`)"]
        case click.ClickException():
            code = USED_WRONGLY if isinstance(error, click.UsageError) else BAD_NEWS
            return code, error.format_message().splitlines()
        case BrokenPipeError():
            return BAD_NEWS, []
        case UnicodeEncodeError():
            # What a shell hands over that is no text comes as lone surrogates; nothing of ours holds any.
            return USED_WRONGLY, ["an argument holds bytes that are no UTF-8 text"]
    return _own_verdict(error)


def _own_verdict(error: Exception) -> tuple[int, list[str]]:
    # Imported here, where something has gone wrong, so that `oppsync --help` need not pay for them.
    from redis.exceptions import RedisError  # noqa: PLC0415

    from oppsync.files.errors import FileError, InvalidDefaults  # noqa: PLC0415
    from oppsync.receipts import UnknownJob, WaitTimeout  # noqa: PLC0415
    from oppsync_ops.redis_server import NoRedisServer  # noqa: PLC0415
    from oppsync_worker.contract.errors import ContractError, InvalidJob  # noqa: PLC0415
    from oppsync_worker.ledger.connect import LedgerError, NoRedisUrl, explain  # noqa: PLC0415
    from oppsync_worker.settings import SettingsError  # noqa: PLC0415

    code = USED_WRONGLY if isinstance(error, SettingsError | ContractError | FileError | NoRedisUrl) else BAD_NEWS
    match error:
        case SettingsError() | InvalidJob() | InvalidDefaults():
            return code, [str(problem) for problem in error.problems]
        case ContractError() | FileError() | LedgerError() | NoRedisServer() | WaitTimeout() | UnknownJob():
            return code, [str(error)]
        case RedisError():
            return code, [explain(error)]
        case OSError():
            where = f": {error.filename}" if error.filename else ""
            return code, [f"{error.strerror or type(error).__name__}{where}"]
    return code, [f"an error of this software ({type(error).__name__}): OPPSYNC_DEBUG=1 shows where"]

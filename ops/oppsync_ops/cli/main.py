"""Where the installed script enters."""

import sys


def main() -> None:
    """Run `oppsync` with this process' arguments, and exit."""
    try:
        from oppsync_ops.cli.root import oppsync  # noqa: PLC0415 - click is optional, and its absence has an answer
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        print("oppsync: the command line is an extra: pip install 'opportunity-sync[ops]'", file=sys.stderr)
        sys.exit(2)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a letter shows its number instead of ending the command.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    oppsync.main(prog_name="oppsync")


if __name__ == "__main__":
    main()

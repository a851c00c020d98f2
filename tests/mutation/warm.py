"""A process that has imported what no mutant is made of, and forks for every run of the tests.

Most of a short run is imports. It reads a line of JSON for each run, and answers with two: the process, and its end.
"""

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import Phase, settings

IMPORTED: Final = (
    "aiohttp",
    "celery.app",
    "celery.worker.request",
    "httpx",
    "hypothesis.strategies",
    "kombu.transport.virtual",
    "pydantic",
    "redis.asyncio",
    "sentry_sdk",
)
"""Of other people, and none of them a plugin of pytest's, which it imports itself."""


def main() -> None:
    """Serve until the input ends."""
    for name in IMPORTED:
        importlib.import_module(name)
    # That a test fails is enough: nobody reads the smallest case of it.
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    settings.register_profile("mutation", phases=phases)
    settings.load_profile("mutation")
    for line in sys.stdin:
        given = json.loads(line)
        child = os.fork()
        if child == 0:
            run(given)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def run(given: dict[str, Any]) -> None:
    """The child: as if pytest had been started anew."""
    os.setsid()
    said = os.open(given["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for taken, number in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(taken, number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    sys.dont_write_bytecode = not given["bytecode"]
    sys.argv = ["pytest", *given["arguments"]]
    sys.path.insert(0, str(Path.cwd()))
    code = 70
    try:
        code = int(pytest.main(list(given["arguments"])))
    except BaseException:  # noqa: BLE001 - the child of a fork must end here
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


if __name__ == "__main__":
    main()

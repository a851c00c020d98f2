"""Where everything in this process is at this moment: files, lines and names, without the value of any variable."""

import asyncio
import faulthandler
import tempfile
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

TASKS_MOST: Final = 50


def of_threads() -> str:
    """Every thread's stack.

    By way of a file: faulthandler keeps the interpreter's lock while it writes, and a full pipe would stop us for good.
    """
    try:
        with tempfile.TemporaryFile() as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            return file.read().decode("utf-8", "replace")
    except OSError as error:
        return f"no stacks of threads: {error.strerror}\n"


def of_tasks(loop: asyncio.AbstractEventLoop) -> str:
    """What the loop's tasks wait in, outermost first; those that wait in a job's greenlet too."""
    lines = []
    for task in list(asyncio.all_tasks(loop))[:TASKS_MOST]:
        lines.append(f"Task {task.get_name()} (waits, outermost first):")
        lines += [f'  File "{f.f_code.co_filename}", line {f.f_lineno} in {f.f_code.co_name}' for f in _waits(task)]
    return "\n".join([*lines, ""])


def _waits(task: "asyncio.Task[Any]") -> Iterator[FrameType]:
    waiting: Any = task.get_coro()
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None)
        if frame is None:
            return
        yield frame
        runner = frame.f_locals.get("runner")
        waiting = _driven(runner.gr_frame) if hasattr(runner, "gr_frame") else waiting.cr_await


def _driven(frame: FrameType | None) -> Any:
    """The coroutine that `bridge.drive` drives in a suspended greenlet."""
    while frame is not None:
        if frame.f_code.co_name == "drive":
            return frame.f_locals.get("coroutine")
        frame = frame.f_back
    return None

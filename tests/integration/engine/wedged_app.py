"""The product with something broken in it, as WEDGE says: an application that hangs, which the product itself cannot.

loop      a call that blocks the event loop for ever
lock      a call that computes for ever and keeps the interpreter's lock
jobs      a call that waits for what never comes, without a deadline
consumer  Celery's thread blocks as soon as there is work
"""

import asyncio
import os
import re
import threading
from typing import Any

from oppsync_worker.app import app
from oppsync_worker.crm.client import CrmClient
from oppsync_worker.engine.transport import Channel

__all__ = ["app"]

_send = CrmClient.send


async def _sending(self: CrmClient, job: Any, *args: Any, **kwargs: Any) -> Any:
    if job.title != "wedge":
        return await _send(self, job, *args, **kwargs)
    match os.environ["WEDGE"]:
        case "loop":
            threading.Event().wait()
        case "lock":
            re.match(r"(a+)+$", "a" * 60 + "b")
        case "jobs":
            await asyncio.Event().wait()
    raise AssertionError("nobody wakes it")


def _claim(self: Channel) -> int:
    if any(self.client.llen(lane) for lane in self._lanes()):
        threading.Event().wait()
    return 0


CrmClient.send = _sending  # type: ignore[method-assign]
if os.environ["WEDGE"] == "consumer":
    Channel._claim = _claim  # type: ignore[method-assign]

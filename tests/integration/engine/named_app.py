"""The product in a network whose name server comes and goes: names ending in `.test` are found while a file exists.

The event loop must be asyncio's own: uvloop asks the system by itself.
"""

import os
import socket
import sys
from pathlib import Path
from typing import Any

sys.modules["uvloop"] = None  # type: ignore[assignment]

_getaddrinfo = socket.getaddrinfo
_NAME_SERVER = Path(os.environ["NAME_SERVER"])


def _find(host: Any, *args: Any, **kwargs: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host
    if not isinstance(name, str) or not name.endswith(".test"):
        return _getaddrinfo(host, *args, **kwargs)
    if name not in _NAME_SERVER.read_text("utf-8").split():
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _getaddrinfo("127.0.0.1", *args, **kwargs)


socket.getaddrinfo = _find

from oppsync_worker.app import app  # noqa: E402 - after the network is what it is

__all__ = ["app"]

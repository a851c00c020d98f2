"""Calls the URLs of simulated column automations, as SprintHub's stage webhooks would: once, without a retry."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import aiohttp

if TYPE_CHECKING:
    from collections import deque

_log: Final = logging.getLogger(__name__)
_TIMEOUT_S: Final = 5.0


class Automations:
    """Sends what is in the outbox, in the background. Failures are logged and forgotten."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._sending: set[asyncio.Task[None]] = set()

    def send(self, outbox: deque[tuple[str, dict[str, Any]]]) -> None:
        """Empty the outbox."""
        if not outbox:
            return
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))
        while outbox:
            url, body = outbox.popleft()
            task = asyncio.get_running_loop().create_task(self._post(self._session, url, body))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def close(self) -> None:
        """Give up what is still being sent."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _post(self, session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> None:
        try:
            async with session.post(url, json=body):
                pass
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            _log.warning("an automation could not call its URL: %s", type(error).__name__)

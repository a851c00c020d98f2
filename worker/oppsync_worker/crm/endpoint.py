"""What is the same for every call to one instance: address, headers, time limits. Built once per `InstanceSettings`."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

import httpx

from oppsync_worker.crm.transport import QUERY_SECRET
from oppsync_worker.errors import CredentialRefused, Seen
from oppsync_worker.instances import InstanceSettings

_IDENTITY: Final = "identity"
"""Answers are a few KB: not worth the CPU, nor the risk, of decompressing them (RFC 9110, section 12.5.3)."""


class Endpoint:
    """Builds the requests to one instance."""

    def __init__(self, settings: InstanceSettings, *, user_agent: str) -> None:
        """Prepare what every request shares.

        Raises:
            CredentialRefused: the token cannot be sent at all, for example because of a line break at its end.
        """
        token = settings.token.get_secret_value()
        bearer = settings.bearer.get_secret_value() if settings.bearer else token
        if not all(_sendable(text) for text in (token, bearer)):
            raise CredentialRefused(Seen(None, "the token is empty or holds characters that a header cannot carry"))
        self.settings = settings
        self.secrets = (token, bearer)
        base = httpx.URL(settings.base_url)
        self._base = f"{base.scheme}://{base.netloc.decode('ascii')}{base.raw_path.decode('ascii').rstrip('/')}"
        self._extensions: dict[str, object] = {
            "timeout": {
                "connect": settings.connect_seconds,
                "read": settings.read_seconds,
                "write": settings.read_seconds,
                "pool": settings.connect_seconds,
            }
        }
        headers = [
            ("Host", base.netloc.decode("ascii")),
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
            ("Accept-Encoding", _IDENTITY),
            ("User-Agent", user_agent),
        ]
        if settings.auth == "query":
            self._extensions[QUERY_SECRET] = f"apitoken={quote(token, safe='')}"
        else:
            headers += [("Authorization", f"Bearer {bearer}"), ("apitoken", token)]
        self._headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers]

    def request(
        self, method: str, path: str, *, query: Mapping[str, int] = MappingProxyType({}), body: bytes | None = None
    ) -> httpx.Request:
        """One request, complete: with `stream` httpx adds no header of its own, so nothing is computed twice.

        Args:
            method: `GET`, `POST` or `PUT`.
            path: below the base URL, with a leading slash.
            query: besides `i`, the instance, which is always sent.
            body: JSON as UTF-8; None with a `GET`, which says nothing of a body then.
        """
        # Numbers, and a name of letters, digits, dots, dashes and underscores: nothing to escape.
        parameters = "".join(f"{name}={value}&" for name, value in query.items())
        url = f"{self._base}{path}?{parameters}i={self.settings.name}"
        length = [] if body is None else [(b"Content-Length", str(len(body)).encode("ascii"))]
        return httpx.Request(
            method,
            _parsed(url),
            headers=[*self._headers, *length],
            stream=httpx.ByteStream(body or b""),
            extensions=self._extensions,
        )


def _sendable(text: str) -> bool:
    return bool(text) and all("!" <= char <= "~" for char in text)


@lru_cache(maxsize=1024)
def _parsed(url: str) -> httpx.URL:
    """Parsing takes httpx a fifteenth of a whole call, and all creates of one funnel share one URL."""
    return httpx.URL(url)

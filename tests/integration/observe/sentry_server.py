"""A Sentry on loopback: keeps the very bytes it was sent, and the events in them."""

import contextlib
import gzip
import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class SentryServer(ThreadingHTTPServer):
    """Takes envelopes (https://develop.sentry.dev/sdk/data-model/envelopes/)."""

    # Closing waits for its threads, so none of them is left with an open connection.
    daemon_threads = False

    def __init__(self) -> None:
        self._taken: set[Any] = set()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[bytes] = []
        self.headers: list[dict[str, str]] = []

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for a connection that has come."""
        self._taken.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The end of a connection."""
        self._taken.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has left is no error; all else is."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """End all connections, then wait for their threads."""
        for one in tuple(self._taken):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        super().server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def dsn(self) -> str:
        """A DSN that leads here."""
        return f"http://0123456789abcdef@127.0.0.1:{self.server_port}/42"

    @property
    def everything(self) -> bytes:
        """All that arrived, headers included."""
        return b"\n".join([*self.received, json.dumps(self.headers).encode()])

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events among it, in the order of arrival."""
        return [payload for body in self.received for kind, payload in items(body) if kind == "event"]

    @property
    def kinds(self) -> set[str]:
        """Every kind of item that arrived."""
        return {kind for body in self.received for kind, _ in items(body)}


def items(body: bytes) -> Iterator[tuple[str, Any]]:
    """Kind and payload of an envelope's items."""
    rest = body.partition(b"\n")[2]
    while rest.strip():
        head, _, rest = rest.partition(b"\n")
        header = json.loads(head)
        length = header.get("length")
        payload = rest.partition(b"\n")[0] if length is None else rest[:length]
        rest = rest[len(payload) :].removeprefix(b"\n")
        yield header["type"], json.loads(payload)


class _Handler(BaseHTTPRequestHandler):
    server: SentryServer

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.received.append(body)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET = _answer  # noqa: N815  names of the standard library

    def log_message(self, *_: object) -> None:
        """Silence."""


@contextmanager
def running() -> Iterator[SentryServer]:
    """The server, for the time of the block."""
    with SentryServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)

"""A CRM that is fast enough for a flood: `python -m oppsync_ops.prove.flood.crm JOURNAL LATENCY_MS`.

It makes records, applies updates and lists the records of a lead, in the shapes of the documented API, and does
nothing else: no budget, no faults, no leads' documents. Some bytes for each record are all that it keeps. Every request
becomes a row of the journal before it is answered, so that the audit needs none of what is in memory here.

The simulated CRM of the plain proof keeps all of every record and checks all of every request: that would measure the
simulator.
"""

import asyncio
import json
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from oppsync_ops.prove.flood.deals import COLUMN_ID, deal_of, version_in
from oppsync_ops.prove.flood.journal import APPLIED, CREATED, LOOKED, NOBODY, REFUSED, Row, Writer
from oppsync_ops.simulator.hosting import run_loop

FIRST_ID: Final = 100_000
MARKER_FIELD: Final = "oppsync"
LEAD_LIST: Final = "/listopportunitysleadcomplete/"
ONE: Final = "/crmopportunity/"
_REASONS: Final = {200: b"OK", 201: b"Created", 400: b"Bad Request", 404: b"Not Found"}


class Records:
    """Everything that the CRM knows: which record each id is, which version it shows, and the ids of each record."""

    def __init__(self, journal: Writer, *, clock: Callable[[], float] = time.time) -> None:
        self._journal = journal
        self._clock = clock
        self._record_of = array("I")
        self._version_of = array("H")
        self._id_of = array("I")
        self._further: dict[int, list[int]] = {}
        self.counts = {CREATED: 0, APPLIED: 0, LOOKED: 0, REFUSED: 0}

    def create(self, document: Any) -> tuple[int, bytes]:
        """A new record, marked with the job that made it."""
        fields = document.get("fields") if isinstance(document, dict) else None
        deal = deal_of(fields.get(MARKER_FIELD)) if isinstance(fields, dict) else None
        if deal is None or deal.version or version_in(document.get("title")) != (deal.record, 0):
            return self._refuse()
        found = FIRST_ID + len(self._record_of)
        self._record_of.append(deal.record)
        self._version_of.append(0)
        while len(self._id_of) <= deal.record:
            self._id_of.append(0)
        if self._id_of[deal.record]:
            self._further.setdefault(deal.record, []).append(found)
        else:
            self._id_of[deal.record] = found
        self._note(CREATED, 0, deal.record, found)
        return 201, self._shown(found)

    def update(self, opportunity_id: int, document: Any) -> tuple[int, bytes]:
        """Another title."""
        index = opportunity_id - FIRST_ID
        named = version_in(document.get("title")) if isinstance(document, dict) else None
        if named is None or not 0 <= index < len(self._record_of):
            return self._refuse()
        # Whose title it is belongs into the journal, right or wrong: the audit finds out.
        record, version = named
        self._version_of[index] = version
        self._note(APPLIED, version, record, opportunity_id)
        return 200, self._shown(opportunity_id)

    def by_lead(self, lead_id: int) -> tuple[int, bytes]:
        """The records of a lead; an empty list where there is none, so that the absence of a create is proved."""
        record = lead_id - 1
        self._note(LOOKED, 0, record if 0 <= record < NOBODY else NOBODY, 0)
        first = self._id_of[record] if 0 <= record < len(self._id_of) else 0
        ids = [first, *self._further.get(record, ())] if first else []
        return 200, b"[" + b",".join(map(self._shown, ids)) + b"]"

    def flush(self) -> dict[str, int]:
        """Everything so far can be read; how many requests there were of each kind."""
        self._journal.flush()
        names = {CREATED: "created", APPLIED: "applied", LOOKED: "looked", REFUSED: "refused"}
        return {names[kind]: count for kind, count in self.counts.items()}

    def _refuse(self) -> tuple[int, bytes]:
        self._note(REFUSED, 0, NOBODY, 0)
        return 400, b'{"error":"Invalid request"}'

    def _note(self, kind: int, version: int, record: int, opportunity_id: int) -> None:
        self.counts[kind] += 1
        self._journal.write(Row(kind, version, record, opportunity_id, self._clock()))

    def _shown(self, opportunity_id: int) -> bytes:
        index = opportunity_id - FIRST_ID
        record, version = self._record_of[index], self._version_of[index]
        return (
            b'{"id":%d,"title":"Deal %d, version %d","value":"12.50","crm_column":%d,"lead_id":%d,"status":"open",'
            b'"fields":{"%s":"flood-%d-0"}}'
        ) % (opportunity_id, record, version, COLUMN_ID, record + 1, MARKER_FIELD.encode(), record)


class Connection(asyncio.Protocol):
    """HTTP/1.1 as our worker speaks it: one request after the other on a connection that stays open."""

    def __init__(self, records: Records, latency_s: float) -> None:
        self._records = records
        self._latency_s = latency_s
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not derived from it

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone; whatever it was owed is of no interest any more."""
        del exc
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """A part of a request, a request, or several."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            size = _content_length(head)
            if len(self._received) < end + 4 + size:
                return
            body = self._received[end + 4 : end + 4 + size]
            self._received = self._received[end + 4 + size :]
            line = head[: head.find(b"\r\n")] if b"\r\n" in head else head
            self._answer(line.decode("latin-1"), body)

    def _answer(self, line: str, body: bytes) -> None:
        method, _, rest = line.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if path == "/__flood/flush":
            self._send(200, json.dumps(self._records.flush()).encode())
            return
        status, answer = _carry_out(self._records, method, path, body)
        if self._latency_s:
            asyncio.get_running_loop().call_later(self._latency_s, self._send, status, answer)
        else:
            self._send(status, answer)

    def _send(self, status: int, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (status, _REASONS[status], len(answer), answer)
            )


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    if at < 0:
        return 0
    return int(head[at + 17 : head.find(b"\r\n", at + 2) if head.find(b"\r\n", at + 2) > 0 else None])


def _carry_out(records: Records, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    if method == "POST" and path == "/crmopportunity":
        return records.create(_document(body))
    last = path.rpartition("/")[2]
    number = int(last) if last.isascii() and last.isdigit() and len(last) < 10 else 0  # noqa: PLR2004 - 32 bits
    if method == "PUT" and path.startswith(ONE):
        return records.update(number, _document(body))
    if method == "GET" and path.startswith(LEAD_LIST):
        return records.by_lead(number)
    return 404, b'{"error":"Not found"}'


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


async def serve(journal: Path, latency_s: float) -> None:
    """Serve until killed. One line of JSON on standard output says where."""
    with journal.open("ab", buffering=1 << 20) as file:
        records = Records(Writer(file))
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(records, latency_s), "127.0.0.1", 0, backlog=1_000)
        port = server.sockets[0].getsockname()[1]
        print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    run_loop(serve(Path(sys.argv[1]), float(sys.argv[2]) / 1000))

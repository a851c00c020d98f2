"""The flood's bookkeeping: every figure can be more than nothing."""

import io
import json
from array import array
from collections.abc import Iterable
from pathlib import Path

import pytest

from oppsync_ops.prove.flood.audit import KINDS, Found, Ledger
from oppsync_ops.prove.flood.crm import COLUMN_ID, Connection, Records
from oppsync_ops.prove.flood.deals import LATER, Deal, deal_of, deals
from oppsync_ops.prove.flood.journal import APPLIED, CREATED, LOOKED, NOBODY, REFUSED, Row, Writer, read, rows_of
from oppsync_ops.prove.flood.result import FloodOptions
from oppsync_ops.prove.flood.run import note_newest, pieces
from oppsync_ops.prove.flood.screen import left_s
from oppsync_worker.contract.states import State

MADE = Row(CREATED, 0, 0, 100, 1.0)
FIRST, SECOND = Row(APPLIED, 1, 0, 100, 2.0), Row(APPLIED, 2, 0, 100, 3.0)
EARLY = (Deal(0, 1), State.SUCCEEDED)
DONE = [(Deal(0, 0), State.SUCCEEDED), (Deal(0, 1), State.MERGED), (Deal(0, 2), State.SUCCEEDED)]


def judged(rows: Iterable[Row], handed: list[tuple[Deal, State]] = DONE) -> dict[str, int]:
    """What is found, of a record with two updates."""
    found, newest = Found(), array("H")
    ledger = Ledger(found)
    ledger.read(rows)
    ledger.judge(handed)
    note_newest(newest, handed)
    ledger.judge_records(enumerate(newest))
    return dict(found.counts)


def test_a_flood_without_a_breach_has_none() -> None:
    """A look-up is none, nor is an update that was sent twice in a row."""
    assert judged([MADE, Row(LOOKED, 0, 0, 0, 1.5), FIRST, FIRST, SECOND]) == {}


PLANTED = {
    "a create that the CRM has twice": ("doubled", [MADE, MADE._replace(opportunity_id=101), FIRST, SECOND], DONE),
    "an older update after a newer one": ("misordered", [MADE, SECOND, FIRST, SECOND], DONE),
    "an update of another record": ("misordered", [MADE, FIRST, SECOND, SECOND._replace(opportunity_id=101)], DONE),
    "a request of nobody's": ("misordered", [MADE, FIRST, SECOND, Row(REFUSED, 0, NOBODY, 0, 4.0)], DONE),
    "an old title in the end": ("wrong final values", [MADE, SECOND, FIRST], DONE),
    "a job that nobody knows": ("lost", [MADE, FIRST, SECOND], [*DONE, (Deal(0, 3), State.UNKNOWN)]),
    "a create that was never made": ("lost", [], DONE),
    "an update that was never applied": ("lost", [MADE, FIRST], DONE),
    "an update that was never applied, though a newer one was": ("lost", [MADE, SECOND], [DONE[0], EARLY, DONE[2]]),
    "a record that nobody asked for": (
        "doubled",
        [MADE, FIRST, SECOND, Row(CREATED, 0, 1, 101, 4.0)],
        DONE,
    ),
    "a job that still waits": ("not ended", [MADE, FIRST, SECOND], [*DONE, (Deal(0, 3), State.QUEUED)]),
    "a create in doubt": ("not ended", [MADE, FIRST, SECOND], [*DONE, (Deal(1, 0), State.IN_DOUBT)]),
    "a good job that died": ("buried", [MADE, FIRST, SECOND], [*DONE, (Deal(0, 3), State.DEAD)]),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_breach_is_counted(planted: str) -> None:
    """Under its own name."""
    kind, rows, handed = PLANTED[planted]

    assert judged(rows, handed)[kind] > 0


def test_every_figure_can_be_more_than_nothing() -> None:
    """No figure is without a breach above."""
    assert {kind for kind, _, _ in PLANTED.values()} == set(KINDS)


def test_a_few_examples_are_kept_and_no_more() -> None:
    """A million breaches must not fill the memory."""
    found = Found()
    for number in range(1_000):
        found.add("lost", str(number))

    assert found.counts["lost"] == found.total == 1_000
    assert found.examples["lost"] == ["0", "1", "2", "3", "4"]


def test_jobs_are_drawn_from_the_seed_and_none_is_there_twice() -> None:
    """A record's in the order of their versions, its create first."""
    drawn = list(deals(3, 60_000))
    versions: dict[int, int] = {}

    for deal in drawn:
        assert versions.get(deal.record, -1) == deal.version - 1
        versions[deal.record] = deal.version
    assert drawn == list(deals(3, 60_000)) != list(deals(4, 60_000))
    assert len({deal.job_id for deal in drawn}) == len(drawn) == 60_000
    assert all(deal_of(deal.job_id) == deal for deal in drawn[:100])


def test_some_updates_come_at_once_and_some_when_everything_before_is_done() -> None:
    """Either could be misordered, in its own way."""
    at: dict[tuple[int, int], int] = {(d.record, d.version): n for n, d in enumerate(deals(3, 60_000))}
    gaps = [n - at[record, version - 1] for (record, version), n in at.items() if version]

    assert sum(gap < 100 for gap in gaps) > len(gaps) / 4
    assert sum(gap > LATER / 2 for gap in gaps) > len(gaps) / 10


def test_a_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Across the borders of pieces; a row that was cut off is none."""
    rows = [Row(APPLIED, n % 5, n, NOBODY - n, n / 7) for n in range(9_000)]
    file = tmp_path / "journal"
    with file.open("wb") as stream:
        writer = Writer(stream)
        for row in rows:
            writer.write(row)
        writer.flush()
        stream.write(b"cut off")

    assert list(read(file)) == rows


def test_the_flood_s_crm_makes_updates_and_lists_records() -> None:
    """In the shapes that the worker reads, with a row for each request."""
    records, written = crm()
    deal = Deal(4, 0)
    body = {"title": "Deal 4, version 0", "crm_column": COLUMN_ID, "lead_id": 5, "fields": {"oppsync": deal.job_id}}

    status, made = records.create(body)
    found = json.loads(made)
    updated = records.update(found["id"], {"title": "Deal 4, version 1"})
    listed = records.by_lead(5)

    assert (status, updated[0], listed[0]) == (201, 200, 200)
    assert found["lead_id"] == 5
    assert [row["title"] for row in json.loads(listed[1])] == ["Deal 4, version 1"]
    assert json.loads(listed[1])[0]["fields"] == {"oppsync": deal.job_id}
    assert json.loads(records.by_lead(6)[1]) == []
    assert [row.kind for row in rows_in(written)] == [CREATED, APPLIED, LOOKED, LOOKED]


def test_the_flood_s_crm_makes_a_record_again_when_it_is_asked_again() -> None:
    """It is not idempotent, and its list shows both."""
    records, written = crm()
    body = {"title": "Deal 0, version 0", "lead_id": 1, "fields": {"oppsync": "flood-0-0"}}

    records.create(body)
    records.create(body)

    assert len(json.loads(records.by_lead(1)[1])) == 2
    assert judged(list(rows_in(written)), [(Deal(0, 0), State.SUCCEEDED)]) == {"doubled": 1}


@pytest.mark.parametrize("body", [None, [], {}, {"title": "x"}, {"title": "Deal 0, version 0", "fields": {}}])
def test_the_flood_s_crm_makes_nothing_of_what_it_does_not_understand(body: object) -> None:
    """And says so in the journal, where it counts as a breach."""
    records, written = crm()

    assert records.create(body)[0] == 400
    assert records.update(100_000, body)[0] == 400
    assert {row.kind for row in rows_in(written)} == {REFUSED}


def test_requests_are_understood_however_they_arrive() -> None:
    """Byte by byte, or two at once; each is answered in its turn."""

    class Sent:
        def __init__(self) -> None:
            self.data = b""

        def is_closing(self) -> bool:
            return False

        def write(self, data: bytes) -> None:
            self.data += data

    records, _ = crm()
    connection, sent = Connection(records, 0.0), Sent()
    connection.connection_made(sent)  # type: ignore[arg-type]
    body = json.dumps({"title": "Deal 0, version 0", "lead_id": 1, "fields": {"oppsync": "flood-0-0"}}).encode()
    post = b"POST /crmopportunity?i=oak HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    get = b"GET /listopportunitysleadcomplete/1?i=oak HTTP/1.1\r\nHost: x\r\n\r\n"

    for position in range(len(post)):
        connection.data_received(post[position : position + 1])
    connection.data_received(get + get)

    assert sent.data.count(b"HTTP/1.1 201 Created\r\n") == 1
    assert sent.data.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert records.flush() == {"created": 1, "applied": 0, "looked": 2, "refused": 0}


def test_a_long_flood_has_a_hundred_kills_and_the_product_s_own_lease() -> None:
    """A short one has some, and a short lease, or its last seconds would be all waiting."""
    long, short = FloodOptions(1, 1_000_000, 2), FloodOptions(1, 3_000, 2)

    assert (long.planned_kills, long.lease_s) == (125, 25.0)
    assert (short.planned_kills, short.lease_s) == (6, 3.0)
    assert FloodOptions(1, 1_000_000, 2, kills=3).planned_kills == 3


def test_pieces_leave_nothing_out() -> None:
    """The last may be shorter."""
    assert [len(piece) for piece in pieces(deals(1, 1_050), 500)] == [500, 500, 50]


def test_the_time_that_is_left_is_told_as_soon_as_there_is_a_rate() -> None:
    """And not before."""
    assert left_s(0, 100, 5.0) is None
    assert left_s(25, 100, 5.0) == 15.0


def crm() -> tuple[Records, io.BytesIO]:
    """A CRM with nothing in it, and where its journal goes."""
    written = io.BytesIO()
    return Records(Writer(written), clock=lambda: 1.0), written


def rows_in(written: io.BytesIO) -> Iterable[Row]:
    """The journal so far."""
    return rows_of(written.getvalue())

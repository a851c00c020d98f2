"""Looking for a create in the lists of the simulated CRM, while it misbehaves as SprintHub does."""

# ruff: noqa: D103 - the test tools here speak through their names

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from oppsync_ops.simulator import HostedSimulator, SimulatorConfig, running_simulator
from oppsync_worker.contract.jobs import CreateOpportunity
from oppsync_worker.crm.answers import Record
from oppsync_worker.crm.client import CrmClient
from oppsync_worker.crm.listings import Listing
from oppsync_worker.crm.marks import Mark
from oppsync_worker.crm.sightings import Sighting, Sought
from oppsync_worker.errors import (
    AnswerLost,
    AttemptError,
    CredentialRefused,
    NotSent,
    Rejected,
    Throttled,
    Unavailable,
)
from oppsync_worker.instances import InstanceSettings

START = datetime(2026, 1, 5, 12, 0, 0, tzinfo=UTC)
SALE = CreateOpportunity(
    instance="acme", funnel_id=7, title="Ação de Natal", value="350.50", crm_column=130, lead_id=8473, user=15
)


@pytest.fixture
def crm() -> Iterator[HostedSimulator]:
    """SprintHub without a limit, on a clock that the test moves."""
    with running_simulator(config=SimulatorConfig(throttle="off", clock="stepped")) as simulator:
        yield simulator


class Seeker:
    """Sends creates to one instance, and looks for them."""

    def __init__(self, crm: HostedSimulator, client: CrmClient, **changes: Any) -> None:
        given = {"name": "acme", "token": "acme-token-1234", "base_url": crm.url, "marker_field": "oppsync", **changes}
        self.settings = InstanceSettings(**given)
        self.crm, self.client = crm, client

    async def create(self, marker: str | None = "m-1", job: CreateOpportunity = SALE) -> Record:
        return await self.client.send(job, self.settings, marker=marker)

    def sought(self, job: CreateOpportunity = SALE) -> Sought:
        return Sought.of(job, self.settings, marker="m-1")

    async def by_lead(self, job: CreateOpportunity = SALE, *, lead_id: int = 8473) -> Listing:
        return await self.client.look_by_lead(self.settings, lead_id, sought=self.sought(job))

    async def by_column(
        self, job: CreateOpportunity = SALE, *, page: int = 0, archived: bool = False, column_id: int = 130
    ) -> Listing:
        return await self.client.look_by_column(
            self.settings,
            funnel_id=7,
            column_id=column_id,
            page=page,
            archived=archived,
            sought=self.sought(job),
        )


Look = Callable[..., Awaitable[Listing]]
both = pytest.mark.parametrize("look", [Seeker.by_lead, Seeker.by_column], ids=["by lead", "by column"])


@pytest.fixture
async def seeker(crm: HostedSimulator) -> AsyncIterator[Seeker]:
    """With the clock of the simulator's start, for which nobody has to wait."""
    async with CrmClient(now=lambda: START) as client:
        yield Seeker(crm, client)


async def only(listing: Awaitable[Listing]) -> Sighting:
    (sighting,) = (await listing).rows
    return sighting


@both
@pytest.mark.parametrize("embeds", ["lead", "nothing"])
@pytest.mark.parametrize("user", ["number", "object"])
@pytest.mark.parametrize("funnel", [False, True])
async def test_our_own_create_is_recognised_in_both_lists(
    crm: HostedSimulator, seeker: Seeker, look: Look, *, embeds: str, user: str, funnel: bool
) -> None:
    """By its marker, and in every respect by which it could be known without one."""
    crm.configure(list_embeds=embeds, user_in_lead_list=user, with_funnel_id=funnel)
    record = await seeker.create()

    listing = await look(seeker)

    assert record.marker_landed is True
    assert listing == Listing(
        (
            Sighting(
                record.opportunity_id,
                created=START,
                marker=Mark.OURS,
                title_same=True,
                value_same=True,
                user_same=True,
                column_same=True,
                lead_same=True,
                kept={**record.kept, "value": "350.50"},
            ),
        ),
        whole=True,
        crm_ahead_s=0.0,
    )


@both
async def test_strangers_are_told_from_us(seeker: Seeker, look: Look) -> None:
    """Another job's record, one that somebody made by hand, and one that differs in everything."""
    other = SALE.model_copy(update={"title": "Natal", "value": None, "user": None})
    ids = [(await seeker.create(marker, job)).opportunity_id for marker, job in (("m-2", SALE), (None, other))]

    seen = {sighting.opportunity_id: sighting for sighting in (await look(seeker)).rows}

    assert [seen[one].marker for one in ids] == [Mark.OTHER, Mark.EMPTY]
    assert (seen[ids[1]].title_same, seen[ids[1]].value_same, seen[ids[1]].user_same) == (False, False, False)


@both
async def test_a_marker_that_was_dropped_is_told_from_one_that_is_missing(
    crm: HostedSimulator, seeker: Seeker, look: Look
) -> None:
    """The field does not exist in this instance: looking for it proves nothing."""
    crm.add_fault("marker_field_missing")

    record = await seeker.create()

    assert record.marker_landed is False
    sighting = await only(look(seeker))
    assert (sighting.marker, sighting.title_same) == (Mark.UNDECLARED, True)


@both
async def test_without_a_marker_field_the_rest_is_compared(crm: HostedSimulator, seeker: Seeker, look: Look) -> None:
    """All that an instance without one has."""
    unmarked = Seeker(crm, seeker.client, marker_field=None)

    record = await unmarked.create()

    assert record.marker_landed is None
    sighting = await only(look(unmarked))
    assert (sighting.marker, sighting.title_same, sighting.value_same) == (Mark.UNKNOWN, True, True)


@both
@pytest.mark.parametrize(("value", "shown"), [(None, "0.00"), ("0", "0.00"), ("350.5", "350.50"), ("-1.10", "-1.10")])
async def test_amounts_come_as_texts_with_two_decimals(
    seeker: Seeker, look: Look, value: str | None, shown: str
) -> None:
    """A create without a value, or with 0, is shown as "0.00"."""
    job = CreateOpportunity.parse({**SALE.model_dump(), "value": value})
    await seeker.create("m-1", job)

    same, other = await only(look(seeker, job)), await only(look(seeker, SALE.model_copy(update={"value": 7})))

    assert same.kept["value"] == shown
    assert same.value_same
    assert not other.value_same


@pytest.mark.parametrize("order", ["updated_desc", "id_asc", "shuffled"])
async def test_a_column_is_read_page_by_page_and_its_archive_too(
    crm: HostedSimulator, seeker: Seeker, *, order: str
) -> None:
    """More than 100 records; every one is seen once, archived or not, whatever the order."""
    crm.configure(list_order=order)
    crm.add_fault("archive_card:s=0,marker=old-*")
    made: dict[bool, list[int]] = {archived: [] for archived in (False, True)}
    for number in range(105):
        for archived, name in ((False, "new"), (True, "old")):
            made[archived].append((await seeker.create(f"{name}-{number}")).opportunity_id)

    for archived, expected in made.items():
        pages = [await seeker.by_column(page=page, archived=archived) for page in range(3)]

        assert [(len(page.rows), page.whole) for page in pages] == [(100, False), (5, True), (0, True)]
        assert sorted(row.opportunity_id for page in pages for row in page.rows) == sorted(expected)


async def test_a_column_of_exactly_one_page_needs_a_second_look(seeker: Seeker) -> None:
    """A full page does not say that it is the last."""
    for number in range(100):
        await seeker.create(f"m-{number}")

    pages = [await seeker.by_column(page=page) for page in range(2)]

    assert [(len(page.rows), page.whole) for page in pages] == [(100, False), (0, True)]


async def test_pages_that_shift_show_a_record_twice_or_not_at_all(crm: HostedSimulator, seeker: Seeker) -> None:
    """What a page shows is told as it is; whoever reads several pages has to know."""
    made = {(await seeker.create(f"m-{number}")).opportunity_id for number in range(103)}
    crm.add_fault("page_shift:kind=repeat,times=1")
    crm.add_fault("page_shift:kind=slip,times=1")

    first, repeating, slipping = [await seeker.by_column(page=page) for page in (0, 1, 1)]

    on_first = {row.opportunity_id for row in first.rows}
    assert len(on_first & {row.opportunity_id for row in repeating.rows}) == 1
    assert len(made - on_first - {row.opportunity_id for row in slipping.rows}) == 1


async def test_an_archived_record_is_gone_from_the_lead_and_found_in_the_archive(
    crm: HostedSimulator, seeker: Seeker
) -> None:
    """Its lead's list answers as if there were none."""
    crm.add_fault("archive_card:s=5")
    await seeker.create()
    crm.advance(5)

    assert (await seeker.by_column()).rows == ()
    assert (await only(seeker.by_column(archived=True))).marker is Mark.OURS
    with pytest.raises(Rejected):
        await seeker.by_lead()


async def test_a_record_that_somebody_moved_keeps_its_marker(crm: HostedSimulator, seeker: Seeker) -> None:
    """It is no longer in its column."""
    crm.add_fault("move_card:s=5,to=131")
    await seeker.create()
    crm.advance(5)

    assert (await seeker.by_column()).rows == ()
    for sighting in (await only(seeker.by_lead()), await only(seeker.by_column(column_id=131))):
        assert (sighting.marker, sighting.column_same, sighting.kept["crm_column"]) == (Mark.OURS, False, 131)


async def test_a_list_that_lags_shows_nothing_yet(crm: HostedSimulator, seeker: Seeker) -> None:
    """An empty list is told as it is: whether it is believed is decided elsewhere."""
    crm.configure(empty_lead="empty")
    crm.add_fault("visibility_lag:s=30")
    await seeker.create()

    early = [(await seeker.by_lead()).rows, (await seeker.by_column()).rows]
    crm.advance(30)

    assert early == [(), ()]
    assert (await only(seeker.by_lead())).marker is (await only(seeker.by_column())).marker is Mark.OURS


@both
async def test_a_create_whose_answer_was_lost_is_found(crm: HostedSimulator, seeker: Seeker, look: Look) -> None:
    """What all of this is for."""
    crm.add_fault("drop_after_commit:times=1")

    with pytest.raises(AnswerLost):
        await seeker.create()

    sighting = await only(look(seeker))
    (record,) = crm.records("acme")
    assert (sighting.marker, sighting.opportunity_id) == (Mark.OURS, record["id"])


@both
@pytest.mark.parametrize("skew_s", [-90, 3600])
async def test_a_clock_that_is_wrong_shows(crm: HostedSimulator, seeker: Seeker, look: Look, skew_s: int) -> None:
    """In the answer's `Date` as in the record's own time, so that the one can be corrected by the other."""
    crm.configure(clock_skew_s=float(skew_s))
    await seeker.create()
    crm.advance(7)

    listing = await look(seeker)

    assert listing.crm_ahead_s == skew_s + 7
    created = listing.rows[0].created
    assert created is not None
    assert (created - START).total_seconds() == skew_s


@pytest.mark.parametrize("fault", [None, "lead_list_400"])
async def test_a_400_by_lead_is_rejected_whether_or_not_there_are_records(
    crm: HostedSimulator, seeker: Seeker, fault: str | None
) -> None:
    """The two cannot be told apart, so it says nothing."""
    if fault:
        await seeker.create()
        crm.add_fault(fault)

    with pytest.raises(Rejected, match="HTTP 400"):
        await seeker.by_lead()


async def test_an_unknown_lead_or_column_is_rejected(crm: HostedSimulator, seeker: Seeker) -> None:
    """404, and 400 that names the column."""
    crm.configure(unknown_leads="99")

    with pytest.raises(Rejected, match="HTTP 404"):
        await seeker.by_lead(lead_id=99)
    with pytest.raises(Rejected, match=r"HTTP 400: .*160"):
        await seeker.by_column(column_id=160)


@both
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("throttle_reads", Throttled),
        ("throttle_burst", Throttled),
        ("token_revoked", CredentialRefused),
        ("http:status=403", CredentialRefused),
        ("http:status=500,body=text", Unavailable),
        ("http:status=503,body=empty", Unavailable),
        ("gateway:status=502", Unavailable),
        ("slow:ms=0,commit=never", Unavailable),
        ("bad_200:kind=html", Unavailable),
        ("bad_200:kind=truncated", Unavailable),
        ("bad_200:kind=empty_object", Unavailable),
        ("bad_200:kind=cut", Unavailable),
        ("drop_before_commit", Unavailable),
        ("drop_before_commit:how=rst", Unavailable),
        ("drop_after_commit", Unavailable),
    ],
)
async def test_a_look_up_that_fails_finds_nothing_out(
    crm: HostedSimulator, seeker: Seeker, look: Look, fault: str, error: type[AttemptError]
) -> None:
    """Every one of them while the record is there."""
    async with CrmClient() as sender:
        await Seeker(crm, sender).create()
    crm.add_fault(fault)

    with pytest.raises(AttemptError) as caught:
        await look(seeker)

    assert type(caught.value) is error
    if isinstance(caught.value, Throttled):
        assert (caught.value.usage, caught.value.limit) == (None, None)


async def test_a_lead_list_that_is_down_leaves_the_column(crm: HostedSimulator, seeker: Seeker) -> None:
    """The one fails while the other works."""
    await seeker.create()
    crm.add_fault("lead_list_down")

    with pytest.raises(Unavailable, match="HTTP 503"):
        await seeker.by_lead()
    assert (await only(seeker.by_column())).marker is Mark.OURS


@both
async def test_a_look_up_that_takes_too_long_finds_nothing_out(
    crm: HostedSimulator, seeker: Seeker, look: Look
) -> None:
    """The simulator's clock stands still, so its answer never comes."""
    await seeker.create()
    crm.add_fault("slow:ms=1000")

    with pytest.raises(Unavailable, match="in time"):
        await look(Seeker(crm, seeker.client, read_seconds=0.05))


@both
async def test_a_crm_that_does_not_listen_was_not_asked(crm: HostedSimulator, seeker: Seeker, look: Look) -> None:
    """The one failure of a look-up that costs the CRM nothing."""
    crm.refuse(60)

    with pytest.raises(NotSent):
        await look(seeker)


@both
async def test_a_look_up_over_the_limit_learns_it(crm: HostedSimulator, seeker: Seeker, look: Look) -> None:
    """Look-ups spend the instance's budget as everything does."""
    await seeker.create()
    crm.configure(throttle="2/60s")

    for _ in range(2):
        await look(seeker)
    with pytest.raises(Throttled) as caught:
        await look(seeker)

    assert (caught.value.usage, caught.value.limit) == (3, 2)


@both
async def test_one_look_is_one_request(crm: HostedSimulator, seeker: Seeker, look: Look) -> None:
    """So that the caller's slot is what it costs, also for many at once."""
    await seeker.create()

    await asyncio.gather(*(look(seeker) for _ in range(20)))

    assert crm.counters()["instances"]["acme"]["received"] == 21

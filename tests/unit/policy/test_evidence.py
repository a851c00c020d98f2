"""What one record of a list is to the create that is looked for."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker.crm.marks import Mark
from oppsync_worker.policy.evidence import Grade, Saw, Window, grade, read

SENT = datetime(2026, 1, 5, 12, 0, 0, tzinfo=UTC)
WINDOW = Window.of(SENT, SENT + timedelta(seconds=60), crm_ahead_s=0.0)


@dataclass(frozen=True)
class Row:
    """A record that fits in everything but for its marker, which nobody can see."""

    opportunity_id: int = 9
    created: datetime | None = SENT + timedelta(seconds=1)
    marker: str = "undeclared"
    title_same: bool = True
    value_same: bool = True
    user_same: bool = True
    column_same: bool = True
    lead_same: bool | None = True


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (Row(marker="ours"), Grade.OURS),
        (Row(marker="ours", created=None, title_same=False, lead_same=False), Grade.OURS),
        (Row(marker="other"), Grade.OTHER),
        (Row(marker="empty"), Grade.OTHER),
        (Row(), Grade.PROBABLE),
        (Row(marker="unknown"), Grade.PROBABLE),
        (Row(lead_same=None), Grade.PROBABLE),
        (Row(lead_same=False), Grade.OTHER),
        (Row(title_same=False), Grade.UNSURE),
        (Row(value_same=False), Grade.UNSURE),
        (Row(user_same=False), Grade.UNSURE),
        (Row(column_same=False), Grade.UNSURE),
        (Row(created=None), Grade.UNSURE),
        (Row(created=SENT - timedelta(seconds=1)), Grade.PROBABLE),
        (Row(created=SENT - timedelta(seconds=3)), Grade.OTHER),
        (Row(created=SENT + timedelta(seconds=63)), Grade.OTHER),
        (Row(opportunity_id=7), Grade.OTHER),
    ],
)
def test_a_record_is_graded(row: Row, expected: Grade) -> None:
    """A marker decides; without one, everything must fit, and the time above all."""
    assert grade(row, WINDOW, taken={7}) is expected


@pytest.mark.parametrize(("ahead_s", "created_s"), [(3600.0, 3601), (-3600.0, -3599)])
def test_the_window_follows_the_crms_clock(ahead_s: float, created_s: int) -> None:
    """Which may be set wrong by an hour."""
    window = Window.of(SENT, SENT + timedelta(seconds=60), crm_ahead_s=ahead_s)

    assert grade(Row(created=SENT + timedelta(seconds=created_s)), window, taken=()) is Grade.PROBABLE
    assert grade(Row(), window, taken=()) is Grade.OTHER


@pytest.mark.parametrize(
    ("ahead_s", "first_s", "last_s"),
    [(0.0, -2, 62), (10.5, 8.5, 72.5), (-10.5, -12.5, 51.5), (None, -300, 360)],
)
def test_the_window_has_its_edges_in_it(ahead_s: float | None, first_s: float, last_s: float) -> None:
    """Two seconds around the send and the look, on the CRM's clock; five minutes where that is not known."""
    window = Window.of(SENT, SENT + timedelta(seconds=60), crm_ahead_s=ahead_s)
    moment = timedelta(milliseconds=1)

    assert window == Window(SENT + timedelta(seconds=first_s), SENT + timedelta(seconds=last_s))
    assert window.holds(window.earliest)
    assert window.holds(window.latest)
    assert not window.holds(window.earliest - moment)
    assert not window.holds(window.latest + moment)
    assert window.holds(None)


@pytest.mark.parametrize(
    ("marker", "declared", "blind"),
    [
        ("ours", True, False),
        ("other", True, False),
        ("empty", True, False),
        ("undeclared", False, True),
        ("unknown", False, True),
    ],
)
def test_every_mark_says_whether_the_field_is_known(marker: str, *, declared: bool, blind: bool) -> None:
    """In whatever row it stands."""
    assert {grade.value for grade in Grade} == {"ours", "probable", "unsure", "other"}
    mark = Mark(marker)
    for rows in ([Row(1, marker=mark)], [Row(1, marker=mark), Row(2, marker=Mark.EMPTY)], [Row(1, marker=mark)] * 2):
        saw = read(rows, WINDOW, taken=())
        assert saw.declared is (declared or (len(rows) == 2 and rows[1].opportunity_id == 2))
        assert saw.blind is blind
    first = read([Row(2, marker=Mark.UNKNOWN), Row(1, marker=mark)], WINDOW, taken=())
    assert (first.declared, first.blind) == (declared, True)
    assert read([], WINDOW, taken=()) == Saw((), (), (), declared=False, blind=False)


def test_an_unknown_clock_may_be_off_by_minutes() -> None:
    """Better a stranger's record before a person than our own overlooked."""
    window = Window.of(SENT, SENT, crm_ahead_s=None)

    assert window.holds(SENT + timedelta(minutes=4))
    assert window.holds(SENT - timedelta(minutes=4))
    assert not window.holds(SENT - timedelta(minutes=6))


def test_a_list_tells_what_it_shows_of_the_marker() -> None:
    """Whether the field is known, and whether some record could hide ours."""
    saw = read([Row(1, marker="empty"), Row(2, marker="undeclared"), Row(3), Row(3)], WINDOW, taken=())

    assert (saw.ours, saw.probable, saw.unsure) == ((), (2, 3), ())
    assert saw.declared
    assert saw.blind
    assert not read([Row(marker="other")], WINDOW, taken=()).blind


@given(
    st.lists(
        st.builds(
            Row,
            opportunity_id=st.integers(1, 5),
            created=st.none() | st.integers(-10, 100).map(lambda s: SENT + timedelta(seconds=s)),
            marker=st.sampled_from(["ours", "other", "empty", "undeclared", "unknown"]),
            title_same=st.booleans(),
            lead_same=st.none() | st.booleans(),
        ),
        max_size=6,
    )
)
def test_our_own_record_is_never_overlooked(rows: list[Row]) -> None:
    """Whatever stands beside it."""
    saw = read(rows, WINDOW, taken={1, 2, 3, 4, 5})

    assert set(saw.ours) == {row.opportunity_id for row in rows if row.marker == "ours"}

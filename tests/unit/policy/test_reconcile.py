"""What follows from look-ups: when a record is adopted, a create sent again, a person asked."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker.instances import ReconcileSettings
from oppsync_worker.policy import reconcile
from oppsync_worker.policy.evidence import Saw
from oppsync_worker.policy.inquiry import Inquiry, Last, Source, Tally
from oppsync_worker.policy.reconcile import Adopt, Again, AskPerson, Errand, Question, Resend, Step, next_errand

NOTHING = Saw((), (), (), declared=False, blind=False)
OURS = Saw((9,), (), (), declared=True, blind=False)
OTHERS = Saw((), (), (), declared=True, blind=False)
"""Records of others, which show that SprintHub knows the marker's field."""
BLIND = Saw((), (), (), declared=False, blind=True)
PROBABLE = Saw((), (9,), (), declared=False, blind=True)
UNSURE = Saw((), (), (8,), declared=False, blind=True)

REFUSED, FAILED = "refused", "failed"
Seen = Saw | str


@dataclass
class Case:
    """Looks until the doubt is over, and remembers every look."""

    has_lead: bool = True
    marked: bool = True
    lands: bool | None = True
    settings: ReconcileSettings = field(default_factory=ReconcileSettings)
    shown: list[Seen] = field(default_factory=list)
    absences: int = 0

    def run(self, *, lead: Iterable[Seen] = (), column: Iterable[Seen] = (), most: int = 200) -> Step:
        """Look again and again; the last thing a list showed is what it goes on showing."""
        lists = {Source.LEAD: list(lead), Source.COLUMN: list(column)}
        self.looks: list[tuple[float, Errand]] = []
        inquiry, elapsed_s = Inquiry(), self.settings.probe_after_seconds[0]
        for _ in range(most):
            errand = next_errand(inquiry, has_lead=self.has_lead)
            self.looks.append((elapsed_s, errand))
            here = lists[errand.source]
            self.shown.append(here.pop(0) if len(here) > 1 else here[0])
            step = self.step(inquiry, elapsed_s, errand, self.shown[-1])
            if not isinstance(step, Again):
                return step
            inquiry = Inquiry.from_json(step.inquiry.as_json())
            assert inquiry == step.inquiry
            elapsed_s += step.delay_s
        raise AssertionError(f"never ends: {self.looks[-5:]}")

    def step(self, inquiry: Inquiry, elapsed_s: float, errand: Errand, seen: Seen) -> Step:
        """What follows from one look."""
        question = Question(self.settings, self.has_lead, self.marked, self.lands, elapsed_s, self.absences)
        if seen == REFUSED:
            return reconcile.refused(inquiry, question, errand)
        if isinstance(seen, str):
            return reconcile.failed(inquiry, question, why="503")
        return reconcile.saw(inquiry, question, errand, seen, whole=True)

    @property
    def window_s(self) -> float:
        """The settle window."""
        return self.settings.probe_after_seconds[-1]


def told(step: Step) -> tuple[type[Step], str]:
    """The step, and its words."""
    return type(step), getattr(step, "why", "")


def settings(**given: Any) -> ReconcileSettings:
    """Other choices."""
    return ReconcileSettings(**given)


def test_a_record_with_the_marker_ends_it_at_once() -> None:
    """At the first look, or whenever the list shows it."""
    assert Case().run(lead=[OURS]) == Adopt(9, "it bears the job's marker")
    late = Case()
    assert isinstance(late.run(lead=[OTHERS, REFUSED, OURS], column=[NOTHING]), Adopt)
    assert [at for at, _ in late.looks] == [5, 15, 45]


def test_two_records_with_the_marker_are_a_persons() -> None:
    """Somebody copied a card, or something is very wrong."""
    assert told(Case().run(lead=[Saw((7, 9), (), (), declared=True, blind=False)])) == (
        AskPerson,
        "2 records bear its marker: 7, 9",
    )


def test_it_is_looked_for_at_growing_distances_and_absent_only_after_the_last() -> None:
    """5, 15, 45, 120 and 300 seconds after the send."""
    case = Case()

    step = case.run(lead=[OTHERS])

    assert told(step) == (Resend, "the lead's list does not have it")
    assert [at for at, _ in case.looks] == [5, 15, 45, 120, 300]


def test_after_it_was_absent_before_it_is_looked_for_less_often_and_as_surely() -> None:
    """Soon, in case it was carried out this time, and at the two times that the proof takes."""
    case = Case(absences=1)

    step = case.run(lead=[OTHERS])

    assert told(step) == (Resend, "the lead's list does not have it")
    assert [at for at, _ in case.looks] == [5, 120, 300]


@given(
    times=st.lists(st.integers(1, 1000), min_size=2, max_size=20, unique=True).map(sorted),
    lead=st.lists(st.sampled_from([OTHERS, REFUSED, FAILED]), min_size=1, max_size=30),
    absences=st.integers(0, 3),
)
def test_however_often_it_was_absent_the_proof_is_the_same(times: list[int], lead: list[Seen], absences: int) -> None:
    """Two clean readings of the lead's list, one of them after the window; never more look-ups than at first."""
    case = Case(absences=absences, settings=settings(probe_after_seconds=tuple(times), on_probably_absent="operator"))

    step = case.run(lead=[*lead, OTHERS], column=[NOTHING])

    clean = [at for (at, errand), seen in zip(case.looks, case.shown, strict=True) if seen is OTHERS]
    if isinstance(step, Resend):
        assert len(clean) >= 2
        assert clean[-1] >= times[-1]
    first = Case(settings=case.settings)
    first.run(lead=[OTHERS])
    again = Case(settings=case.settings, absences=absences)
    again.run(lead=[OTHERS])
    assert len(again.looks) <= len(first.looks)


@pytest.mark.parametrize(
    ("case", "lead"),
    [
        (Case(lands=None), [NOTHING]),
        (Case(lands=None), [BLIND]),
        (Case(lands=False), [OTHERS]),
        (Case(lands=True), [BLIND]),
        (Case(marked=False, lands=None), [NOTHING]),
    ],
    ids=["never seen to land", "no field", "known not to land", "a record that hides it", "no marker"],
)
def test_absence_is_only_probable_where_the_marker_may_not_land(case: Case, lead: list[Seen]) -> None:
    """An unmarked record could be ours, edited."""
    assert isinstance(case.run(lead=lead), AskPerson)
    case.settings = settings(on_probably_absent="resend")
    assert isinstance(case.run(lead=lead), Resend)


def test_the_marker_lands_where_other_records_show_its_field() -> None:
    """Even before any create of ours was answered."""
    assert isinstance(Case(lands=None).run(lead=[OTHERS]), Resend)


def test_a_choice_may_leave_even_proven_absence_to_a_person() -> None:
    """`on_absent`."""
    assert isinstance(Case(settings=settings(on_absent="operator")).run(lead=[OTHERS]), AskPerson)


def test_a_refused_list_is_unknown_and_the_column_is_read_at_the_end() -> None:
    """Twice, whole, the archive included; and what it says is only probable."""
    case = Case()

    step = case.run(lead=[REFUSED], column=[OTHERS])

    assert told(step) == (AskPerson, "the column's list does not have it, and the lead's was refused")
    read = [(at, errand.source.value, errand.archived) for at, errand in case.looks]
    assert read == [
        (5, "lead", False),
        (15, "lead", False),
        (45, "lead", False),
        (120, "lead", False),
        (120, "column", False),
        (120, "column", True),
        (300, "lead", False),
        (300, "column", False),
        (300, "column", True),
    ]


def test_a_record_in_the_column_is_adopted_although_the_leads_list_was_refused() -> None:
    """400 proves nothing."""
    assert isinstance(Case().run(lead=[REFUSED], column=[OURS]), Adopt)


def test_a_list_that_recovers_is_believed_after_two_readings() -> None:
    """One of them after the window; the others do not count against it."""
    case = Case()

    step = case.run(lead=[REFUSED, REFUSED, REFUSED, REFUSED, OTHERS], column=[NOTHING])

    assert isinstance(step, Resend)
    assert [at for at, errand in case.looks if errand.source is Source.LEAD] == [5, 15, 45, 120, 300, 305]


def test_failures_are_repeated_and_count_for_nothing() -> None:
    """The next answer stands where they stood."""
    case = Case()

    step = case.run(lead=[FAILED] * 5 + [OTHERS])

    assert isinstance(step, Resend)
    assert [at for at, _ in case.looks][:6] == [5, 7, 11, 19, 35, 67]


def test_a_person_is_asked_when_look_ups_go_on_failing() -> None:
    """After the configured patience."""
    case = Case(settings=settings(patience_seconds=600))

    step = case.run(lead=[FAILED])

    assert told(step) == (AskPerson, "look-ups kept failing: 503")
    assert 600 < case.looks[-1][0] < 700


def test_without_a_lead_the_column_is_read_three_times() -> None:
    """It costs many requests."""
    case = Case(has_lead=False)

    step = case.run(column=[OTHERS])

    assert told(step) == (AskPerson, "the column's list does not have it, and the job names no lead")
    assert [at for at, errand in case.looks if not errand.archived] == [5, 120, 300]


def test_all_pages_are_read_in_a_row() -> None:
    """A page that is not the last leads to the next."""
    case, question = (
        Case(has_lead=False),
        Question(ReconcileSettings(), has_lead=False, marked=True, lands=True, elapsed_s=5),
    )
    first = reconcile.saw(Inquiry(), question, Errand(Source.COLUMN), OTHERS, whole=False)
    assert isinstance(first, Again)
    assert (first.delay_s, next_errand(first.inquiry, has_lead=False)) == (0, Errand(Source.COLUMN, 1))

    second = reconcile.saw(first.inquiry, question, Errand(Source.COLUMN, 1), PROBABLE, whole=True)
    assert isinstance(second, Again)

    assert next_errand(second.inquiry, has_lead=False) == Errand(Source.COLUMN, 0, archived=True)
    third = case.step(second.inquiry, 5, Errand(Source.COLUMN, 0, archived=True), OTHERS)
    assert isinstance(third, Again)
    assert (third.inquiry.page, third.inquiry.probable, third.delay_s) == (None, (9,), 115)


def test_too_many_pages_prove_nothing() -> None:
    """However often they are read."""
    question = Question(settings(column_pages=2), has_lead=False, marked=True, lands=True, elapsed_s=400)

    step = reconcile.saw(Inquiry(page=1), question, Errand(Source.COLUMN, 1), OTHERS, whole=False)

    assert told(step) == (AskPerson, "the CRM cannot tell: of the column it has more pages than may be read")


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (PROBABLE, "record 9 fits in everything, but bears no marker"),
        (UNSURE, "records that may be it: 8"),
        (Saw((), (7, 9), (), declared=False, blind=True), "records that may be it: 7, 9"),
    ],
)
def test_a_record_without_a_marker_is_a_persons(seen: Saw, why: str) -> None:
    """After the window: until then the real one may still appear."""
    case = Case(marked=False, lands=None)

    assert told(case.run(lead=[seen])) == (AskPerson, why)
    assert case.looks[-1][0] == case.window_s


def test_one_that_fits_in_everything_may_be_adopted_by_choice() -> None:
    """Only if it is the only one, and nothing is unsure."""
    chosen = settings(on_probable="adopt", on_probably_absent="resend")
    case = Case(marked=False, lands=None, settings=chosen)

    assert isinstance(case.run(lead=[PROBABLE]), Adopt)
    assert isinstance(case.run(lead=[UNSURE]), AskPerson)


def test_lists_that_contradict_themselves_end_with_a_person() -> None:
    """Not with a loop."""
    case = Case()
    lead = [OTHERS, REFUSED] * 50

    assert isinstance(case.run(lead=lead, column=[REFUSED]), AskPerson | Resend)


def test_a_doubt_found_late_takes_two_looks() -> None:
    """Redis was away for an hour: the window has passed already."""
    case = Case()
    first = case.step(Inquiry(), 3600, Errand(Source.LEAD), OTHERS)
    assert isinstance(first, Again)
    assert first.delay_s == 5

    assert isinstance(case.step(first.inquiry, 3605, Errand(Source.LEAD), OTHERS), Resend)


@pytest.mark.parametrize("text", ["", "{}", "null", "[]", '{"v":2}', '{"v":1}', "{", '{"v":1,"lead":3}'])
def test_an_inquiry_that_cannot_be_read_begins_anew(text: str) -> None:
    """Nothing is believed that is not understood."""
    assert Inquiry.from_json(text) == Inquiry()


def test_an_inquiry_with_a_field_of_a_newer_version_goes_on() -> None:
    """While workers are replaced by newer ones, both look for the same create."""
    inquiry = Inquiry(lead=Tally(1, Last.CLEAN), failures=2)
    newer = {**json.loads(inquiry.as_json()), "hints": [1], "lead": {"clean": 1, "last": "clean", "at": 5}}

    assert Inquiry.from_json(json.dumps(newer)) == inquiry


SEEN = st.sampled_from([NOTHING, OTHERS, BLIND, PROBABLE, UNSURE, REFUSED, FAILED])


@given(
    lead=st.lists(SEEN, min_size=1, max_size=12),
    column=st.lists(SEEN, min_size=1, max_size=12),
    has_lead=st.booleans(),
    marked=st.booleans(),
    lands=st.sampled_from([True, False, None]),
    boldly=st.booleans(),
)
def test_nothing_is_sent_again_without_two_clean_readings_to_the_end_of_the_window(
    *, lead: list[Seen], column: list[Seen], has_lead: bool, marked: bool, lands: bool | None, boldly: bool
) -> None:
    """Whatever the lists show, and in whatever order; and every doubt comes to an end."""
    choices = settings(on_probable="adopt", on_probably_absent="resend") if boldly else settings()
    case = Case(has_lead=has_lead, marked=marked, lands=lands, settings=choices)

    step = case.run(lead=[*lead, FAILED], column=[*column, FAILED])

    if isinstance(step, Resend):
        assert case.looks[-1][0] >= case.window_s
        assert len(case.looks) >= 2
        assert boldly or (has_lead and marked and lands is not False), "the proof was too weak"


@given(st.lists(SEEN, min_size=1, max_size=12), st.lists(SEEN, min_size=1, max_size=12), st.integers(0, 8))
def test_our_record_is_adopted_whenever_it_is_seen(lead: list[Seen], column: list[Seen], when: int) -> None:
    """A list that shows it once has settled the doubt."""
    case = Case()

    step = case.run(lead=[*lead[:when], OURS], column=[*column, OURS])

    assert isinstance(step, Adopt) == (OURS in case.shown)


def test_last_is_kept_as_a_word() -> None:
    """Through JSON and back."""
    inquiry = Inquiry(lead=Inquiry().lead.ended(Last.REFUSED), taken=(1, 2), page=3, archived=True)

    assert Inquiry.from_json(inquiry.as_json()) == inquiry


def test_an_inquiry_is_kept_in_a_form_that_other_versions_read() -> None:
    """Workers of two versions share a doubt."""
    inquiry = Inquiry(
        lead=Tally(2, Last.CLEAN),
        column=Tally(1, Last.TOO_LONG),
        rounds=3,
        page=4,
        archived=True,
        probable=(9,),
        unsure=(8, 7),
        declared=True,
        blind=True,
        taken=(1, 2),
        failures=5,
        failing_since_ms=6_000,
    )
    text = (
        '{"v":1,"lead":{"clean":2,"last":"clean"},"column":{"clean":1,"last":"too_long"},"rounds":3,"page":4,'
        '"archived":true,"probable":[9],"unsure":[8,7],"declared":true,"blind":true,"taken":[1,2],"failures":5,'
        '"failing_since_ms":6000}'
    )

    assert inquiry.as_json() == text
    assert Inquiry.from_json(text) == inquiry
    assert Inquiry.from_json(text.replace('"v":1', '"v":2')) == Inquiry()


def test_an_inquiry_that_begins_knows_nothing() -> None:
    """No list was read, nothing seen."""
    assert Inquiry() == Inquiry(
        lead=Tally(0, Last.NEVER),
        column=Tally(0, Last.NEVER),
        rounds=0,
        page=None,
        archived=False,
        probable=(),
        unsure=(),
        declared=False,
        blind=False,
        taken=(),
        failures=0,
        failing_since_ms=None,
    )
    assert [one.value for one in Last] == ["never", "clean", "refused", "too_long"]
    assert [one.value for one in Source] == ["lead", "column"]
    assert (Inquiry().source, Inquiry(page=0).source) == (None, Source.COLUMN)


def test_a_tally_counts_clean_readings_only() -> None:
    """And keeps how it was left last."""
    tally = Tally().ended(Last.CLEAN).ended(Last.REFUSED).ended(Last.CLEAN).ended(Last.TOO_LONG)

    assert tally == Tally(2, Last.TOO_LONG)


def question(elapsed_s: float, *, has_lead: bool = True, absences: int = 0, **given: Any) -> Question:
    """What a look-up is judged by, so long after the send."""
    return Question(settings(**given), has_lead, marked=True, lands=True, elapsed_s=elapsed_s, absences=absences)


@pytest.mark.parametrize(
    ("elapsed_s", "over", "column_too", "pause_s"),
    [
        (0.0, False, False, 5.0),
        (5.0, False, False, 10.0),
        (44.9, False, False, 0.1),
        (119.9, False, False, 0.1),
        (120.0, False, True, 180.0),
        (299.9, False, True, 0.1),
        (300.0, True, True, 5.0),
        (1e6, True, True, 5.0),
    ],
)
def test_when_to_look_again(elapsed_s: float, *, over: bool, column_too: bool, pause_s: float) -> None:
    """At the next of the times; after the last, as long as before the first."""
    asked = question(elapsed_s)

    assert (asked.over, asked.column_too) == (over, column_too)
    assert asked.pause_s == pytest.approx(pause_s)


def test_when_a_column_is_read() -> None:
    """Soon, and at the last two times; so is the list of a lead that did not have it before."""
    assert question(0).times_s == (5, 15, 45, 120, 300)
    assert question(0, has_lead=False).times_s == (5, 120, 300)
    assert question(0, absences=1).times_s == (5, 120, 300)
    assert question(0, has_lead=False, probe_after_seconds=(7, 60)).times_s == (7, 60)


@pytest.mark.parametrize(
    ("failures", "pause_s", "unauthorized_s"),
    [(0, 2, 2), (1, 4, 4), (4, 32, 32), (5, 60, 64), (8, 60, 512), (9, 60, 600), (500, 60, 600)],
)
def test_failures_are_repeated_ever_later(failures: int, pause_s: float, unauthorized_s: float) -> None:
    """Doubled from two seconds to a minute, or to ten where nothing but another token helps."""
    inquiry = Inquiry(failures=failures, failing_since_ms=0)

    assert failed(inquiry, question(10), why="x").delay_s == pause_s
    assert failed(inquiry, question(10), why="x", most_s=reconcile.UNAUTHORIZED_MOST_S).delay_s == unauthorized_s


def failed(inquiry: Inquiry, asked: Question, **given: Any) -> Again:
    """A look-up that failed, and is repeated."""
    step = reconcile.failed(inquiry, asked, **given)
    assert isinstance(step, Again)
    return step


def test_the_first_failure_is_remembered_until_an_answer_comes() -> None:
    """In milliseconds since the send: patience is counted from it."""
    first = failed(Inquiry(), question(12.5), why="x").inquiry
    assert (first.failures, first.failing_since_ms) == (1, 12_500)
    second = failed(first, question(20), why="x").inquiry
    assert (second.failures, second.failing_since_ms) == (2, 12_500)

    answered = reconcile.refused(second, question(30), Errand(Source.LEAD))
    assert isinstance(answered, Again)
    assert (answered.inquiry.failures, answered.inquiry.failing_since_ms) == (0, None)
    assert failed(answered.inquiry, question(40), why="x").inquiry.failing_since_ms == 40_000


@pytest.mark.parametrize(("elapsed_s", "asks"), [(1_600.0, False), (1_600.001, True)])
def test_patience_is_over_after_its_seconds(elapsed_s: float, *, asks: bool) -> None:
    """To the millisecond, counted from the first failure in a row."""
    step = reconcile.failed(
        Inquiry(failures=3, failing_since_ms=1_000_000), question(elapsed_s, patience_seconds=600), why="HTTP 503"
    )

    assert isinstance(step, AskPerson) is asks
    if isinstance(step, AskPerson):
        assert step.why == "look-ups kept failing: HTTP 503"
        assert (step.inquiry.failures, step.inquiry.failing_since_ms) == (4, 1_000_000)


def test_what_a_new_list_shows_takes_the_place_of_what_the_last_one_did() -> None:
    """Records that were there and are not, and one that turned out to be another job's, are forgotten."""
    before = Inquiry(probable=(9, 8), unsure=(7,), blind=True, taken=(8,), failures=2, failing_since_ms=1)

    by_lead = again(reconcile.saw(before, question(5), Errand(Source.LEAD), OTHERS, whole=True))
    assert (by_lead.probable, by_lead.unsure, by_lead.blind, by_lead.declared) == ((), (), False, True)
    assert (by_lead.failures, by_lead.failing_since_ms, by_lead.taken) == (0, None, (8,))
    first_page = again(reconcile.saw(before, question(5), Errand(Source.COLUMN), OTHERS, whole=False))
    assert (first_page.probable, first_page.unsure, first_page.blind) == ((), (), False)

    for errand in (Errand(Source.COLUMN, 1), Errand(Source.COLUMN, 0, archived=True)):
        seen = Saw((), (10,), (6,), declared=False, blind=False)
        later = again(reconcile.saw(before, question(5), errand, seen, whole=False))
        assert (later.probable, later.unsure, later.blind, later.declared) == ((9, 10), (6, 7), True, False)
    kept = again(
        reconcile.saw(Inquiry(declared=True, unsure=(8,), taken=(8,)), question(5), errand, BLIND, whole=False)
    )
    assert (kept.declared, kept.blind, kept.unsure) == (True, True, ())


def again(step: Step) -> Inquiry:
    """What is known when it is looked for again."""
    assert isinstance(step, Again)
    return step.inquiry


@pytest.mark.parametrize(
    ("page", "most", "goes_on"), [(0, 2, True), (1, 2, False), (1, 3, True), (18, 20, True), (19, 20, False)]
)
def test_a_column_is_read_to_its_bound(page: int, most: int, *, goes_on: bool) -> None:
    """Page after page, at once; what is longer proves nothing."""
    step = reconcile.saw(
        Inquiry(page=page), question(5, column_pages=most), Errand(Source.COLUMN, page), OTHERS, whole=False
    )

    assert isinstance(step, Again)
    assert (step.delay_s == 0.0) is goes_on
    assert step.inquiry.page == (page + 1 if goes_on else None)
    assert step.inquiry.column == Tally(0, Last.NEVER if goes_on else Last.TOO_LONG)


def test_the_archive_is_read_behind_the_column_page_by_page() -> None:
    """Then the pass is over, and counts as one clean reading."""
    step = reconcile.saw(Inquiry(), question(5), Errand(Source.COLUMN, 3), OTHERS, whole=True)
    assert isinstance(step, Again)
    assert (step.delay_s, step.inquiry.page, step.inquiry.archived) == (0.0, 0, True)
    step = reconcile.saw(step.inquiry, question(5), Errand(Source.COLUMN, 0, archived=True), OTHERS, whole=False)
    assert isinstance(step, Again)
    assert (step.delay_s, step.inquiry.page, step.inquiry.archived) == (0.0, 1, True)
    step = reconcile.saw(step.inquiry, question(5), Errand(Source.COLUMN, 1, archived=True), OTHERS, whole=True)
    assert isinstance(step, Again)
    assert (step.inquiry.page, step.inquiry.archived, step.inquiry.column) == (None, False, Tally(1, Last.CLEAN))


@pytest.mark.parametrize(("rounds", "asks"), [(0, False), (4, False), (5, True), (9, True)])
def test_six_rounds_after_the_window_are_enough(rounds: int, *, asks: bool) -> None:
    """Lists that show now this and now that are a person's."""
    step = reconcile.saw(Inquiry(rounds=rounds), question(400), Errand(Source.LEAD), OTHERS, whole=True)

    assert isinstance(step, AskPerson) is asks
    if isinstance(step, AskPerson):
        assert step.why == "the lists contradict themselves from one look-up to the next"
    assert step.inquiry.rounds == rounds + 1


def test_before_the_window_is_over_no_round_is_counted() -> None:
    """And nothing is decided."""
    for elapsed_s in (5.0, 299.9):
        step = reconcile.saw(
            Inquiry(lead=Tally(9, Last.CLEAN)), question(elapsed_s), Errand(Source.LEAD), OTHERS, whole=True
        )
        assert again(step).rounds == 0


@pytest.mark.parametrize(
    ("lead", "column", "why"),
    [
        (Last.REFUSED, Last.REFUSED, "it refuses the lead's list, and of the column SprintHub refuses to list it"),
        (
            Last.REFUSED,
            Last.TOO_LONG,
            "it refuses the lead's list, and of the column it has more pages than may be read",
        ),
        (Last.NEVER, Last.REFUSED, "of the column SprintHub refuses to list it"),
    ],
)
def test_why_the_crm_cannot_tell(lead: Last, column: Last, why: str) -> None:
    """Which of its lists it refuses, or how long it is."""
    inquiry = Inquiry(lead=Tally(0, lead), column=Tally(0, column))

    step = reconcile._verdict(inquiry, question(400))

    assert told(step) == (AskPerson, f"the CRM cannot tell: {why}")


@pytest.mark.parametrize(
    ("marked", "lands", "has_lead", "lead", "why"),
    [
        (True, True, True, Last.CLEAN, "the lead's list does not have it"),
        (True, False, True, Last.CLEAN, "the lead's list does not have it, but SprintHub does not keep the marker"),
        (False, True, True, Last.CLEAN, "the lead's list does not have it, but it has no marker"),
        (True, True, True, Last.REFUSED, "the column's list does not have it, and the lead's was refused"),
        (True, True, False, Last.NEVER, "the column's list does not have it, and the job names no lead"),
        (
            False,
            None,
            False,
            Last.NEVER,
            "the column's list does not have it, and the job names no lead, but it has no marker",
        ),
    ],
)
def test_why_it_is_absent(*, marked: bool, lands: bool | None, has_lead: bool, lead: Last, why: str) -> None:
    """Which list says so, and how much that is worth."""
    inquiry = Inquiry(lead=Tally(2, lead), column=Tally(2, Last.CLEAN), rounds=1)
    asked = Question(settings(on_probably_absent="resend"), has_lead, marked, lands, elapsed_s=400)

    assert reconcile._verdict(inquiry, asked) == Resend(why)


@pytest.mark.parametrize(
    ("ids", "listed"),
    [((1,), "1"), ((1, 2, 3, 4, 5), "1, 2, 3, 4, 5"), ((1, 2, 3, 4, 5, 6), "1, 2, 3, 4, 5 and 1 more")],
)
def test_five_records_are_named(ids: tuple[int, ...], listed: str) -> None:
    """And counted from the sixth on."""
    step = reconcile.saw(
        Inquiry(), question(5), Errand(Source.LEAD), Saw(ids, (), (), declared=True, blind=False), whole=True
    )

    if len(ids) > 1:
        assert told(step) == (AskPerson, f"{len(ids)} records bear its marker: {listed}")
    else:
        assert step == Adopt(1, "it bears the job's marker")


def test_one_that_fits_is_adopted_with_its_reason() -> None:
    """For the job's history."""
    inquiry = Inquiry(lead=Tally(2, Last.CLEAN), probable=(9,), rounds=1)

    step = reconcile._verdict(inquiry, question(400, on_probable="adopt"))

    assert step == Adopt(9, "it fits in everything, and belongs to no other job")

"""What is kept of an answer, and what counts as proof."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker.contract.jobs import UpdateOpportunity
from oppsync_worker.contract.names import Kind
from oppsync_worker.crm.answers import Expected, Names, Record, Unreadable, figure, integer, read_record, whitelisted

CREATE = Expected(Kind.CREATE, lead_id=8473, crm_column=159)
UPDATE = Expected(Kind.UPDATE, opportunity_id=4534)
DOCUMENTED: dict[str, Any] = {
    "id": 4534,
    "title": "Test Title",
    "value": 1,
    "crm_column": 159,
    "lead_id": 8473,
    "sequence": 3,
    "status": "open",
    "loss_reason": None,
    "user": 156,
    "last_column_change": None,
    "createDate": "2024-03-19T21:14:35.000Z",
    "updateDate": "2024-03-19T21:14:35.000Z",
    "dataLead": {"id": 8473, "email": "teste@teste.com", "firstname": "Teste", "senha_inicial": "teste123"},
    "fields": {"Field with Space": "9969887dddXXXXX"},
}
KEPT: dict[str, int | str] = {
    "id": 4534,
    "crm_column": 159,
    "lead_id": 8473,
    "status": "open",
    "value": 1,
    "sequence": 3,
    "user": 156,
    "createDate": "2024-03-19T21:14:35.000Z",
    "updateDate": "2024-03-19T21:14:35.000Z",
}


def test_the_documented_answer_keeps_only_the_whitelist() -> None:
    """Neither the title nor custom fields nor anything of the lead."""
    assert read_record(DOCUMENTED, CREATE) == Record(4534, KEPT)


def test_the_documented_update_envelope_is_read() -> None:
    """`msg` beside `data`."""
    answer = {"msg": "The opportunity has been updated.", "data": {"id": 4534, "status": "gain"}}

    assert read_record(answer, UPDATE) == Record(4534, {"id": 4534, "status": "gain"})


@pytest.mark.parametrize(
    "answer", [{"id": "4534"}, {"data": {"id": 4534}}, {"id": None, "data": {"id": 4534, "lead_id": "8473"}}]
)
def test_an_id_may_be_a_digit_string_or_lie_in_data(answer: Any) -> None:
    """Both were seen in use; an absent or null echo is no evidence against a readable id."""
    assert read_record(answer, CREATE).opportunity_id == 4534


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        [{"id": 4534}],
        "4534",
        4534,
        {},
        {"id": 0},
        {"id": -1},
        {"id": True},
        {"id": 1.5},
        {"id": "4534.0"},
        {"id": " 4534"},
        {"id": "٤٥٣٤"},
        {"id": 2**53},
        {"id": {"id": 1}},
        {"data": []},
        {"id": 4534, "lead_id": 1},
        {"id": 4534, "crm_column": "160"},
        {"id": 4534, "crm_column": {"id": 159}},
        {"data": {"id": 4534, "lead_id": 1}},
    ],
)
def test_a_create_is_not_proved_without_id_or_with_another_echo(answer: Any) -> None:
    """Then only the CRM can tell."""
    with pytest.raises(Unreadable):
        read_record(answer, CREATE)


def test_an_id_of_its_own_comes_before_one_in_data() -> None:
    """`data` may be anything then; without such an id it is the record."""
    assert read_record({"id": 7, "data": {"id": 8}}, CREATE) == Record(7, {"id": 7})
    assert read_record({"id": 0, "data": {"id": 8}}, CREATE) == Record(8, {"id": 8})
    assert read_record({"id": 7, "data": [8]}, CREATE) == Record(7, {"id": 7})


def test_an_echo_is_compared_only_with_what_was_sent() -> None:
    """A create without a lead may be answered with any."""
    assert read_record({"id": 1, "lead_id": 5}, Expected(Kind.CREATE)).opportunity_id == 1


@pytest.mark.parametrize("answer", [{}, {"msg": "updated"}, {"data": None}, {"data": {}}, {"data": {"id": 4534}}])
def test_an_update_needs_no_echo(answer: Any) -> None:
    """Its id is known from the request."""
    assert read_record(answer, UPDATE).opportunity_id == 4534


@pytest.mark.parametrize("answer", [[], None, "OK", {"error": "Invalid request"}, {"data": {"id": 1}}, {"id": 1}])
def test_an_update_is_not_proved_by_a_refusal_or_another_record(answer: Any) -> None:
    """It is sent again, which is harmless."""
    with pytest.raises(Unreadable):
        read_record(answer, UPDATE)


def test_an_update_whose_id_is_nowhere_is_not_proved() -> None:
    """No record without an id."""
    with pytest.raises(Unreadable):
        read_record({}, Expected(Kind.UPDATE))


@pytest.mark.parametrize(
    ("answer", "landed"),
    [
        ({"fields": {"oppsync": "m-1", "CPF": "1"}}, True),
        ({"fields": {"oppsync": ""}}, False),
        ({"fields": {"Oppsync": "m-1"}}, False),
        ({"fields": {}}, False),
        ({"fields": None}, None),
        ({"fields": []}, None),
        ({"fields": {"oppsync": {"value": "m-1"}}}, None),
        ({}, None),
    ],
)
def test_a_create_tells_whether_its_marker_landed(answer: Any, landed: bool | None) -> None:  # noqa: FBT001
    """SprintHub drops a field that does not exist, with a success status; no `fields` at all tells nothing."""
    expected = Expected(Kind.CREATE, marker="m-1", marker_field="oppsync")

    assert read_record({"id": 1, **answer}, expected).marker_landed is landed
    assert read_record({"data": {"id": 1, **answer}}, expected).marker_landed is landed


JOB_ID = "6f1c0c0e-2d4b-4d38-9f05-0d9a1f3b7c55"


@pytest.mark.parametrize("marker", ["0c8f6a52-11d2-4a7e-8a57-0d9a1f3b7c55", "m-2", "7", 7])
def test_another_jobs_marker_is_no_success(marker: Any) -> None:
    """The answer to another create; only the CRM can tell what became of this one."""
    sent = Expected(Kind.CREATE, marker=JOB_ID, marker_field="oppsync")

    with pytest.raises(Unreadable, match="marker"):
        read_record({"id": 1, "fields": {"oppsync": marker}}, sent)


@pytest.mark.parametrize("shown", [JOB_ID[:20], JOB_ID[:8].upper()])
def test_a_marker_cut_short_has_not_landed_but_is_ours(shown: str) -> None:
    """A field that is too narrow; in doubt, it would be sent again, for it is not found by its marker either."""
    sent = Expected(Kind.CREATE, marker=JOB_ID, marker_field="oppsync")

    assert read_record({"id": 1, "fields": {"oppsync": shown}}, sent).marker_landed is False


@pytest.mark.parametrize(
    ("title", "fits"),
    [
        ("São Paulo - 12 & Cia", True),
        ("  são   paulo - 12 &amp; cia", True),
        ("Sao Paulo - 12 & Cia", True),
        ("S?o Paulo - 12 & Cia", True),
        ("SÃ£o Paulo - 12 & Cia", True),
        ("São Pau", True),
        ("#77 São Paulo - 12 & Cia (new)", True),
        ("", True),
        (None, True),
        (5, True),
        ("Rio de Janeiro", False),
        ("São Paulo - 13 & Cia", False),
    ],
)
def test_another_title_is_no_success(title: Any, fits: bool) -> None:  # noqa: FBT001
    """However the CRM writes ours, it is ours; a title that no rewriting explains is another record's."""
    sent = Expected(Kind.CREATE, title="São Paulo - 12 & Cia")

    if fits:
        assert read_record({"id": 1, "title": title}, sent).opportunity_id == 1
    else:
        with pytest.raises(Unreadable, match="title"):
            read_record({"id": 1, "title": title}, sent)


def test_our_marker_outweighs_the_title() -> None:
    """Whatever an automation of the CRM made of the title."""
    sent = Expected(Kind.CREATE, title="A", marker=JOB_ID, marker_field="oppsync")

    assert read_record({"id": 1, "title": "B", "fields": {"oppsync": JOB_ID}}, sent).opportunity_id == 1


@pytest.mark.parametrize("sent", [{"marker": "m-1"}, {"marker_field": "oppsync"}, {}])
def test_a_marker_that_was_not_sent_has_not_failed_to_land(sent: dict[str, str]) -> None:
    """It takes a marker and a field for it."""
    assert read_record({"id": 1, "fields": {}}, Expected(Kind.CREATE, **sent)).marker_landed is None


def test_an_update_says_nothing_of_a_marker() -> None:
    """Whether a PUT shows all custom fields is undocumented."""
    expected = Expected(Kind.UPDATE, 1, marker="m-1", marker_field="oppsync")

    assert read_record({"data": {"id": 1, "fields": {}}}, expected).marker_landed is None


def test_a_user_object_leaves_only_its_id() -> None:
    """Seen in list answers, with a name."""
    assert whitelisted({"user": {"id": 156, "name": "Maria"}}) == {"user": 156}
    assert whitelisted({"user": {"name": "Maria"}}) == {}


@pytest.mark.parametrize("value", ["Maria Silva", "x" * 99, ["a"], {"a": 1}, True, 1.5, "\ud800", "1e5"])
def test_a_kept_name_does_not_let_any_value_through(value: Any) -> None:
    """Each field has one shape; free text has none of them."""
    assert whitelisted(dict.fromkeys(KEPT, value)) == {}


def test_amounts_keep_their_digits() -> None:
    """A list shows them as text, a create as a number."""
    assert whitelisted({"value": "1234.50"}) == {"value": "1234.50"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "data", *KEPT]), inner, max_size=6)
    ),
    max_leaves=20,
)


@given(json_values, st.sampled_from([CREATE, UPDATE]))
def test_any_document_is_a_record_or_unreadable(document: Any, expected: Expected) -> None:
    """Nothing else, and only small scalars are kept."""
    try:
        record = read_record(document, expected)
    except Unreadable:
        return

    assert record.opportunity_id > 0
    assert all(isinstance(value, int | str) and len(str(value)) < 45 for value in record.kept.values())


def test_expected_takes_the_facts_of_a_job() -> None:
    """The id comes from the caller, who may have looked it up."""
    job = UpdateOpportunity(instance="acme", funnel_id=1, external_ref="x", lead_id=5)

    assert Expected.of(job, opportunity_id=9) == Expected(Kind.UPDATE, 9, 5, None)
    assert Expected.of(job, marker="m", marker_field="f") == Expected(Kind.UPDATE, None, 5, None, "m", "f")


@given(st.integers(0, 2**53 - 1))
def test_integers_are_read_from_numbers_and_digits(number: int) -> None:
    """The two ways in which SprintHub writes an id."""
    assert integer(number) == integer(str(number)) == number


@pytest.mark.parametrize(
    ("answer", "sent", "says"),
    [
        ([], CREATE, "not a JSON object"),
        ({}, CREATE, "no id"),
        ({"id": 1, "lead_id": 5}, CREATE, "another lead_id than was sent"),
        ({"id": 1, "crm_column": 5}, CREATE, "another crm_column than was sent"),
        ({"error": "no"}, UPDATE, "an error inside a success"),
        ({"error": "no", "data": []}, UPDATE, "an error inside a success"),
        ({"id": 1}, UPDATE, "another id than was sent"),
        ({}, Expected(Kind.UPDATE), "no id"),
    ],
)
def test_why_an_answer_proves_nothing_is_told(answer: Any, sent: Expected, says: str) -> None:
    """In words of ours; no value of it is repeated."""
    with pytest.raises(Unreadable) as why:
        read_record(answer, sent)

    assert str(why.value) == says


def test_an_updates_error_beside_its_data_is_none() -> None:
    """The record is shown."""
    assert read_record({"error": "", "data": {"id": 4534}}, UPDATE).opportunity_id == 4534
    assert read_record({"id": 7}, Expected(Kind.UPDATE)).opportunity_id == 7


@pytest.mark.parametrize(
    ("answer", "sent", "names"),
    [
        ({"id": 1, "lead_id": 8473, "crm_column": 159}, CREATE, Names.RECORD),
        ({"id": 1, "lead_id": 8473}, CREATE, Names.NOTHING),
        ({"id": 1, "crm_column": 159}, CREATE, Names.NOTHING),
        ({"id": 1}, CREATE, Names.NOTHING),
        ({"id": 1, "lead_id": 5, "crm_column": 159}, Expected(Kind.CREATE, crm_column=159), Names.NOTHING),
        ({"id": 4534}, UPDATE, Names.RECORD),
        ({"data": {"id": 4534}}, UPDATE, Names.RECORD),
        ({}, UPDATE, Names.NOTHING),
        ({"id": 5}, Expected(Kind.UPDATE), Names.NOTHING),
    ],
)
def test_what_an_answer_names_its_call_by(answer: Any, sent: Expected, names: Names) -> None:
    """A create's lead and column together, an update's id; what it could be without the call names nothing."""
    assert read_record(answer, sent).names is names


def test_a_marker_names_its_job_above_all() -> None:
    """With or without the rest; one that was cut, or is not there, names nothing by itself."""
    sent = Expected(Kind.CREATE, lead_id=8473, crm_column=159, marker=JOB_ID, marker_field="oppsync")
    rest = {"id": 1, "lead_id": 8473, "crm_column": 159}

    assert read_record({"id": 1, "fields": {"oppsync": JOB_ID}}, sent).names is Names.MARKER
    assert read_record({**rest, "fields": {"oppsync": JOB_ID}}, sent).names is Names.MARKER
    assert read_record({**rest, "fields": {"oppsync": JOB_ID[:9]}}, sent).names is Names.RECORD
    assert read_record({"id": 1, "fields": {"oppsync": ""}}, sent).names is Names.NOTHING
    assert [one.value for one in Names] == ["nothing", "record", "marker"]


@pytest.mark.parametrize(("shown", "ours"), [(JOB_ID[:8], True), (JOB_ID[:7], False), (f" {JOB_ID[:9]} ", True)])
def test_a_marker_is_known_by_its_first_eight_letters(shown: str, *, ours: bool) -> None:
    """Less could be anybody's."""
    sent = Expected(Kind.CREATE, marker=JOB_ID, marker_field="oppsync")

    if ours:
        assert read_record({"id": 1, "fields": {"oppsync": shown}}, sent).marker_landed is False
    else:
        with pytest.raises(Unreadable, match="another job's marker"):
            read_record({"id": 1, "fields": {"oppsync": shown}}, sent)


def test_what_is_known_of_a_record_without_more() -> None:
    """Nothing."""
    assert Record(1) == Record(1, {}, None, Names.NOTHING, None)
    assert (Record(1).names, Record(1).status) == (Names.NOTHING, None)
    by_marker, by_lead = Record(1, names=Names.MARKER, status=200), Record(1, names=Names.RECORD, status=201)
    assert by_marker == by_lead, "how its answer came is no part of a record"
    assert "secret" not in repr(Expected(Kind.CREATE, title="secret"))


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("id", [1, 0, "7", 2**53 - 1, "9007199254740991"], [-1, 2**53, "9007199254740992", "1" * 17, "1.0", True]),
        ("sequence", [0, 3], ["x", 1.5]),
        ("status", ["open", "gain", "lost"], ["OPEN", "won", "open ", "", 1, None]),
        ("value", [0, -5, 2**53 - 1, "1.50", "-3", "1234567890123456.0123456789"], [2**53, -(2**53), "1e5", "1.", ""]),
        ("user", [7, "7", {"id": 7}], [{"id": "x"}, {"name": "M"}, "Maria"]),
        (
            "createDate",
            [
                "2024-03-19",
                "2024-03-19T21:14",
                "2024-03-19 21:14:35",
                "2024-03-19T21:14:35.123Z",
                "2024-03-19T21:14-0300",
            ],
            ["2024-3-19", "19/03/2024", "2024-03-19T21", "2024-03-19T21:14:35.1234567890", "2024-03-19 x", 5],
        ),
    ],
)
def test_a_kept_field_has_one_shape(name: str, good: list[Any], bad: list[Any]) -> None:
    """To the last digit."""
    for value in good:
        kept = whitelisted({name: value})
        assert kept == {
            name: value
            if name in ("status", "value", "createDate")
            else int(value["id"] if isinstance(value, dict) else value)
        }
    for value in bad:
        assert whitelisted({name: value}) == {}


@pytest.mark.parametrize(
    "name", ["createDate", "updateDate", "last_column_change", "last_status_change", "gain_date", "lost_date"]
)
def test_every_time_is_kept(name: str) -> None:
    """Of the six that a record has."""
    assert whitelisted({name: "2024-03-19T21:14:35.000Z", f"{name}2": "2024-03-19"}) == {
        name: "2024-03-19T21:14:35.000Z"
    }


@pytest.mark.parametrize("number", ["20", " 20\t", "20.", "20.99", "0020"])
def test_a_figure_may_be_a_text(number: str) -> None:
    """Its fraction is cut off, and nothing around it counts."""
    assert figure(number) == 20
    assert figure("20.5x") is None
    assert figure("1" * 17) is None

"""The header: refused as a whole, with one message that says what to do."""

from pathlib import Path

import pytest

from oppsync.files.cells import conversions
from oppsync.files.errors import UnreadableFile
from oppsync.files.header import Column, Header, read_header
from oppsync.files.vocabulary import FIELDS, NAMES
from oppsync_worker.contract.jobs import JOB_TYPES
from oppsync_worker.contract.names import Kind

OWN = "instance,funnel_id,title,crm_column"


def read(text: str, *, kind: Kind | None = Kind.CREATE, given: tuple[str, ...] = ()) -> Header:
    """The header of a file in which it stands on line 3."""
    return read_header(text, path=Path("jobs.csv"), line=3, kind=kind, given=given)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{OWN},tittle", "'tittle' (did you mean title?)"),
        (f"{OWN},Lead ID", "'Lead ID' (did you mean lead_id?)"),
        (f"{OWN},close_date", "did you mean expectedCloseDate?"),
        (f"{OWN},Origem", "'Origem' (a custom field is written fields.<its exact display name>)"),
        (f"{OWN},fields", "one column for each custom field"),
        (f"{OWN},fields.", "one column for each custom field"),
        (f"{OWN},,value", "a column without a name between named ones"),
        (f"{OWN},a,b,c,d,e,f,g", "and 2 more"),
        (f"{OWN},\x1b[2J", r"'\x1b[2J'"),
        (f"{OWN},TITLE", "names the same column twice: 'title'"),
        (f"{OWN},expectedCloseDate,expected_close_date", "twice: 'expectedCloseDate'"),
        (f"{OWN},fields.a,fields.a", "twice: 'fields.a'"),
        ("create,acme,12,Renewal,159", "names no column that is known"),
        ("just some words", "names no column that is known"),
        ('"instance,funnel_id', "names no column that is known"),
        ("title,crm_column", "has no column 'funnel_id', 'instance', which every line needs"),
        ("instance,funnel_id,title", "has no column 'crm_column'"),
    ],
)
def test_a_wrong_header_is_one_clear_message(text: str, says: str) -> None:
    """With file and line, and nothing that could upset a terminal."""
    with pytest.raises(UnreadableFile) as caught:
        read(text)

    assert says in str(caught.value)
    assert str(caught.value).startswith("jobs.csv, line 3: ")
    assert "\x1b" not in str(caught.value)


def test_a_data_row_in_its_place_is_not_repeated() -> None:
    """It may hold what belongs in no log."""
    with pytest.raises(UnreadableFile) as caught:
        read("create,acme,12,Maria Silva,159")

    assert "Maria" not in str(caught.value)
    assert "known names are instance, funnel_id, title" in str(caught.value)


def test_without_a_kind_column_the_kind_must_be_given() -> None:
    """Nobody guesses whether to create or to update."""
    with pytest.raises(UnreadableFile, match="give --kind create or --kind update"):
        read(OWN, kind=None)

    assert read(f"{OWN},kind", kind=None).columns[-1] == Column("kind", custom=False)


def test_a_custom_field_is_not_ours_whatever_it_is_called() -> None:
    """Else a file of updates would be taken for one that names its kinds, and a create for one that has a title."""
    with pytest.raises(UnreadableFile, match="has no column 'kind'"):
        read(f"{OWN},fields.kind", kind=None)
    with pytest.raises(UnreadableFile, match="has no column 'title'"):
        read("instance,funnel_id,crm_column,fields.title")


def test_what_every_line_needs_may_come_from_a_default() -> None:
    """A file for one funnel need not repeat it."""
    header = read("title;crm_column", given=("instance", "funnel_id", "lane"))

    assert header == Header(";", (Column("title", custom=False), Column("crm_column", custom=False)), 2)


def test_our_names_are_read_in_any_case_and_custom_ones_exactly() -> None:
    """Only what stands before the dot is ours."""
    header = read(f"{OWN.upper()}, FIELDS. Ação \t,")

    assert header.columns[-1] == Column(" Ação \t", custom=True)
    assert (len(header.columns), header.width) == (5, 6)


def test_every_field_of_the_contract_can_be_a_column() -> None:
    """A new field of the contract needs its conversion here."""
    contract = {info.alias or name for job in JOB_TYPES.values() for name, info in job.model_fields.items()}

    assert set(conversions("auto")) == contract - {FIELDS} | {"kind"}
    assert set(NAMES.values()) == contract | {"kind"}

"""Every value names its job, and can be read back from the CRM."""

import json
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oppsync_ops.prove.planned import (
    ASTRAY,
    CUSTOM_FIELD,
    FIELD,
    MOST_VERSIONS,
    TITLE,
    VALUE,
    job_of,
    shown_in,
    versions_in,
)
from oppsync_ops.simulator.opportunity import marker_in
from unit.prove.world import CREATE, FIRST

VALUE_OF_ANY_KIND = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.text("v[r.]-1²٣ ", max_size=6)
)
ANYTHING = st.one_of(
    VALUE_OF_ANY_KIND,
    st.lists(VALUE_OF_ANY_KIND, max_size=2),
    st.dictionaries(
        st.sampled_from(["", "é", CUSTOM_FIELD]),
        st.one_of(VALUE_OF_ANY_KIND, st.lists(VALUE_OF_ANY_KIND, max_size=2)),
        max_size=2,
    ),
)


@given(number=st.integers(1, 99_999), version=st.integers(0, MOST_VERSIONS))
def test_a_document_shows_the_version_of_its_job(number: int, version: int) -> None:
    """Also when the amount has travelled as a JSON number."""
    document = replace(CREATE, number=number, version=version).document()
    travelled = json.loads(json.dumps({**document, "value": float(document["value"])}))

    assert versions_in(document) == {TITLE: version, VALUE: version, FIELD: version}
    assert versions_in(travelled) == versions_in(document)


def test_a_part_that_was_not_written_shows_nothing() -> None:
    """An update with a title and an amount."""
    assert versions_in(FIRST.document()) == {TITLE: 1, VALUE: 1}


@example(document={"fields": {CUSTOM_FIELD: "v²"}})
@given(document=st.fixed_dictionaries({}, optional=dict.fromkeys(["title", "value", "fields"], ANYTHING)))
def test_anything_else_shows_nothing_and_breaks_nothing(document: dict[str, object]) -> None:
    """What a person, or a fault, wrote into a record."""
    assert all(isinstance(version, int) for version in versions_in(document).values())


def test_a_record_that_lost_a_part_or_bears_another_s_shows_it() -> None:
    """Nothing is passed over because it cannot be read."""
    whole = CREATE.document()
    other = replace(CREATE, number=2).document()
    nothing = {"title": "a person's", "value": None}

    assert shown_in(whole, CREATE.job_id) == {TITLE: 0, VALUE: 0, FIELD: 0}
    assert shown_in(nothing, CREATE.job_id) == {TITLE: ASTRAY, VALUE: ASTRAY, FIELD: ASTRAY}
    assert shown_in({**whole, "title": other["title"]}, CREATE.job_id) == {TITLE: ASTRAY, VALUE: 0, FIELD: 0}
    assert shown_in({**whole, "value": other["value"]}, CREATE.job_id) == {TITLE: 0, VALUE: ASTRAY, FIELD: 0}


@pytest.mark.parametrize("job", [CREATE, FIRST])
def test_a_request_is_told_by_its_marker_field_or_by_its_title(job: type[CREATE]) -> None:
    """The simulator reads the marker field first, then the end of the title."""
    title = job.document()["title"]

    assert job_of(marker_in("oppsync", title, {"oppsync": job.job_id})) == job.job_id
    assert job_of(marker_in("oppsync", title, {})) == job.job_id


def test_the_mark_in_a_title_is_not_the_job_s_id() -> None:
    """Or a worker could find its record by it where there is no marker field."""
    assert CREATE.job_id not in CREATE.document()["title"]


@pytest.mark.parametrize("mark", [None, "", "a person", "a.b", "a.b.c.d"])
def test_a_mark_of_nobody_is_nobody(mark: str | None) -> None:
    """And no error."""
    assert job_of(mark) is None

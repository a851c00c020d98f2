"""The CRM's two lists, as whoever looks for a create asks them."""

from typing import Any, cast

import pytest

from oppsync_worker.contract.jobs import CreateOpportunity
from oppsync_worker.crm.client import CrmClient
from oppsync_worker.crm.lists import CrmLists
from oppsync_worker.crm.sightings import Sought
from oppsync_worker.instances import InstanceSettings

ACME = InstanceSettings(name="acme", token="t", marker_field="Sync")
JOB = CreateOpportunity(
    job_id="j1", instance="acme", funnel_id=7, title="T", crm_column=130, lead_id=1, value="2.50", user=5
)
SOUGHT = Sought.of(JOB, ACME, marker="j1")


class Client:
    """Keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def look_by_lead(self, *args: Any, **given: Any) -> str:
        self.asked.append(("lead", *args, given))
        return "a list"

    async def look_by_column(self, *args: Any, **given: Any) -> str:
        self.asked.append(("column", *args, given))
        return "a page"


async def test_a_leads_list_is_compared_with_the_job_and_its_marker() -> None:
    """Which is the job's id."""
    client = Client()

    assert cast("str", await CrmLists(cast("CrmClient", client)).by_lead(JOB, ACME)) == "a list"

    assert client.asked == [("lead", ACME, 1, {"sought": SOUGHT})]
    assert (SOUGHT.marker, SOUGHT.marker_field, SOUGHT.title, SOUGHT.user, SOUGHT.lead_id) == ("j1", "Sync", "T", 5, 1)


async def test_a_job_without_a_lead_cannot_be_looked_for_by_it() -> None:
    """The caller's mistake, before anything is asked."""
    client = Client()
    with pytest.raises(ValueError, match="without a lead"):
        await CrmLists(cast("CrmClient", client)).by_lead(JOB.model_copy(update={"lead_id": None}), ACME)

    assert client.asked == []


@pytest.mark.parametrize(("page", "archived"), [(0, False), (3, True)])
async def test_a_page_of_the_jobs_column_is_asked_for(page: int, *, archived: bool) -> None:
    """In its funnel."""
    client = Client()

    found = await CrmLists(cast("CrmClient", client)).by_column(JOB, ACME, page=page, archived=archived)

    assert cast("str", found) == "a page"
    given = {"funnel_id": 7, "column_id": 130, "page": page, "archived": archived, "sought": SOUGHT}
    assert client.asked == [("column", ACME, given)]

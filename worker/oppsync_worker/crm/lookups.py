"""The two ways to look for a record whose id is unknown: by lead in one call, or by funnel and column in pages."""

import json
from typing import Final

import httpx

from oppsync_worker.crm.endpoint import Endpoint
from oppsync_worker.crm.listings import PAGE_ROWS

MAX_LIST_BYTES: Final = 8 * 1024 * 1024
"""Most bytes of a list that are read: a list that was cut proves nothing, so this is far above any that is expected.

A row may carry the whole lead: of the documented shape it has 3.6 KB. So there is room for 2,300 records of one lead,
which come without pages, or for a page of 100 rows of 80 KB. Reading so much takes a tenth of a second and
30 MB for that time (Python 3.11, 2 cores), 210 MB if somebody fills it with `{}`.
"""


def by_lead(endpoint: Endpoint, lead_id: int) -> httpx.Request:
    """All records of a lead. SprintHub may answer 400 for a lead that has none."""
    return endpoint.request("GET", f"/listopportunitysleadcomplete/{lead_id}")


def by_column(endpoint: Endpoint, *, funnel_id: int, column_id: int, page: int, archived: bool) -> httpx.Request:
    """One page, counted from 0, of a column's records: either those in use or the archived ones.

    The body is the web client's own, whole: the endpoint refuses a property that it does not know, and without
    `filterByStatus` it might leave out what has been won or lost. There is no filter by date, and what `search` matches
    is unproven.
    """
    body = {
        "filterByUsers": None,
        "filterByStatus": ["open", "gain", "lost"],
        "filterByExpectedCloseDate": None,
        "filters": [],
        "search": "",
        "page": page,
        "limit": PAGE_ROWS,
        "columnId": column_id,
        "onlyArchived": archived,
        "searchBy": "opportunity",
    }
    return endpoint.request("POST", f"/crm/opportunities/{funnel_id}", body=json.dumps(body).encode())

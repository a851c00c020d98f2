"""Somebody who calls the simulated CRM over real loopback HTTP, as an integration would."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from oppsync_ops.simulator import Simulator

TOKENS = {"acme": "acme-token-1234", "globex": "globex-token-5678"}


class Integrator:
    """Calls the CRM as one instance does, with the documented headers."""

    def __init__(self, sim: Simulator, http: httpx.AsyncClient, instance: str = "acme") -> None:
        self.sim = sim
        self.http = http
        self.instance = instance
        self.headers = {"apitoken": TOKENS[instance], "Authorization": f"Bearer {TOKENS[instance]}"}

    async def call(self, method: str, path: str, *, body: Any = None, **query: Any) -> httpx.Response:
        """Any call; ``body`` is sent as JSON."""
        params = {"i": self.instance, **{key: str(value) for key, value in query.items()}}
        json = {} if body is None else {"json": body}
        return await self.http.request(method, self.sim.url + path, params=params, headers=self.headers, **json)

    async def create(self, marker: str | None = None, *, funnel: int = 7, **changes: Any) -> httpx.Response:
        """POST a valid body with some keys changed; None leaves a key out."""
        fields = {} if marker is None else {"oppsync": marker}
        body = {
            "title": "A sale",
            "value": "350.5",
            "crm_column": 130,
            "lead_id": 8473,
            "sequence": "0",
            "status": "open",
            "user": 156,
            "fields": fields,
        } | changes
        body = {key: value for key, value in body.items() if value is not None}
        return await self.call("POST", "/crmopportunity", body=body, id=funnel)

    async def created(self, marker: str | None = None, **changes: Any) -> dict[str, Any]:
        """A created opportunity."""
        answer = await self.create(marker, **changes)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    async def update(self, opportunity_id: int, *, funnel: int = 7, **body: Any) -> httpx.Response:
        """PUT exactly these keys."""
        return await self.call("PUT", f"/crmopportunity/{opportunity_id}", body=body, id=funnel)

    async def read(self, opportunity_id: int) -> httpx.Response:
        """GET one."""
        return await self.call("GET", f"/crmopportunity/{opportunity_id}")

    async def by_lead(self, lead: int = 8473) -> httpx.Response:
        """List by lead."""
        return await self.call("GET", f"/listopportunitysleadcomplete/{lead}")

    async def by_column(self, column: int = 130, *, funnel: int = 7, **body: Any) -> httpx.Response:
        """One page of a column."""
        return await self.call("POST", f"/crm/opportunities/{funnel}", body={"columnId": column, **body})

    async def ids_by_column(self, column: int = 130, **body: Any) -> list[int]:
        """The ids on one page of a column."""
        answer = await self.by_column(column, **body)
        assert answer.status_code == 200, answer.text
        return [row["id"] for row in answer.json()]

    def figures(self) -> dict[str, Any]:
        """This instance's counters."""
        found: dict[str, Any] = self.sim.counters(by_marker=True)["instances"][self.instance]
        return found


Simulate = Callable[..., Awaitable[Integrator]]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]

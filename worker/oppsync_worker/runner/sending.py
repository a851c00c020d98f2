"""The CRM, as far as a delivery needs it."""

from collections.abc import Mapping
from typing import Any, Protocol

from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.instances import InstanceSettings


class Answer(Protocol):
    """What is kept of the CRM's answer."""

    @property
    def opportunity_id(self) -> int:
        """SprintHub's id of the record."""
        ...

    @property
    def kept(self) -> Mapping[str, Any]:
        """The whitelisted fields."""
        ...

    @property
    def status(self) -> int | None:
        """The HTTP status."""
        ...

    @property
    def marker_landed(self) -> bool | None:
        """Whether the record bears the marker that was sent; None when there was none, or the answer does not say."""
        ...


class Sender(Protocol):
    """The CRM, as far as a delivery needs it."""

    async def send(
        self, job: AnyJob, instance: InstanceSettings, *, marker: str | None, opportunity_id: int | None
    ) -> Answer:
        """Send the job, once. Raises an `AttemptError`."""
        ...

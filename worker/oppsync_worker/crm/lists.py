"""The CRM's two lists, as whoever looks for a create asks them: by the job, at its instance."""

from oppsync_worker.contract.jobs import CreateOpportunity
from oppsync_worker.crm.client import CrmClient
from oppsync_worker.crm.listings import Listing
from oppsync_worker.crm.sightings import Sought
from oppsync_worker.instances import InstanceSettings


class CrmLists:
    """Looks for the record that a job would have made, by the marker that it was sent with: its id."""

    def __init__(self, client: CrmClient) -> None:
        self._client = client

    async def by_lead(self, job: CreateOpportunity, instance: InstanceSettings) -> Listing:
        """All records of the job's lead.

        Raises:
            AttemptError: nothing is known then.
            ValueError: the job names no lead, which is the caller's mistake.
        """
        if job.lead_id is None:
            raise ValueError("a create without a lead cannot be looked for by lead")
        return await self._client.look_by_lead(instance, job.lead_id, sought=_sought(job, instance))

    async def by_column(
        self, job: CreateOpportunity, instance: InstanceSettings, *, page: int, archived: bool
    ) -> Listing:
        """A page of the column that the job was for, counted from 0.

        Raises:
            AttemptError: nothing is known then.
        """
        return await self._client.look_by_column(
            instance,
            funnel_id=job.funnel_id,
            column_id=job.crm_column,
            page=page,
            archived=archived,
            sought=_sought(job, instance),
        )


def _sought(job: CreateOpportunity, instance: InstanceSettings) -> Sought:
    return Sought.of(job, instance, marker=job.job_id)

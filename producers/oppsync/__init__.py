"""Hand SprintHub opportunities over and forget about them.

    from oppsync import CreateOpportunity, JobClient

    client = JobClient("redis://127.0.0.1:6379/0")
    job_id = client.enqueue(CreateOpportunity(instance="acme", funnel_id=7, title="Deal", crm_column=130, lead_id=8473))

Needs redis and pydantic only; Celery, httpx and Sentry stay with the workers. Nothing is imported before it is used, so
that `import oppsync` costs an application's start next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oppsync.aio import AsyncJobClient
    from oppsync.client import JobClient
    from oppsync.receipts import Receipt, UnknownJob, WaitTimeout
    from oppsync_worker.contract.errors import ContractError, FieldProblem, InvalidJob, JobConflict, JobConflicts
    from oppsync_worker.contract.jobs import CreateOpportunity, UpdateOpportunity
    from oppsync_worker.contract.names import Kind, Lane
    from oppsync_worker.contract.outcomes import Outcome
    from oppsync_worker.contract.states import Cause, State
    from oppsync_worker.ledger.connect import LedgerError, LedgerUnavailable, NoRedisUrl

_HOMES = {
    "AsyncJobClient": "oppsync.aio",
    "JobClient": "oppsync.client",
    "Receipt": "oppsync.receipts",
    "UnknownJob": "oppsync.receipts",
    "WaitTimeout": "oppsync.receipts",
    "ContractError": "oppsync_worker.contract.errors",
    "FieldProblem": "oppsync_worker.contract.errors",
    "InvalidJob": "oppsync_worker.contract.errors",
    "JobConflict": "oppsync_worker.contract.errors",
    "JobConflicts": "oppsync_worker.contract.errors",
    "CreateOpportunity": "oppsync_worker.contract.jobs",
    "UpdateOpportunity": "oppsync_worker.contract.jobs",
    "Kind": "oppsync_worker.contract.names",
    "Lane": "oppsync_worker.contract.names",
    "Outcome": "oppsync_worker.contract.outcomes",
    "Cause": "oppsync_worker.contract.states",
    "State": "oppsync_worker.contract.states",
    "LedgerError": "oppsync_worker.ledger.connect",
    "LedgerUnavailable": "oppsync_worker.ledger.connect",
    "NoRedisUrl": "oppsync_worker.ledger.connect",
}

__all__ = [
    "AsyncJobClient",
    "Cause",
    "ContractError",
    "CreateOpportunity",
    "FieldProblem",
    "InvalidJob",
    "JobClient",
    "JobConflict",
    "JobConflicts",
    "Kind",
    "Lane",
    "LedgerError",
    "LedgerUnavailable",
    "NoRedisUrl",
    "Outcome",
    "Receipt",
    "State",
    "UnknownJob",
    "UpdateOpportunity",
    "WaitTimeout",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'oppsync' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__

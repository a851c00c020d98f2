"""The jobs that are measured with: creates as an ordinary application hands them over, of one instance."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from oppsync import CreateOpportunity

INSTANCE: Final = "acme"
TOKEN: Final = "acme-token-1234"  # noqa: S105 - of the simulator's seed, invented
FUNNEL_ID: Final = 7
COLUMN_ID: Final = 131
"""A column without an automation, which would cost the simulator time of its own."""

WARM_UP_JOBS: Final = 200


def creates(count: int) -> Iterator["CreateOpportunity"]:
    """So many jobs of the bulk lane."""
    from oppsync import CreateOpportunity, Lane  # noqa: PLC0415 - a probe measures importing by itself

    for number in range(count):
        document = {**plain_document(number), "value": Decimal("1234.56")}
        yield CreateOpportunity(instance=INSTANCE, funnel_id=FUNNEL_ID, lane=Lane.BULK, **document)


def plain_document(number: int) -> dict[str, Any]:
    """The same opportunity as the JSON document that plain Celery is given."""
    return {
        "title": f"Opportunity {number}",
        "value": 1234.56,
        "crm_column": COLUMN_ID,
        "lead_id": 1 + number % 900_000,
        "status": "open",
        "fields": {"Origem": "Site"},
    }

"""`oppsync enqueue create` and `oppsync enqueue update`."""

import json
from typing import IO, Any, Final

import click

from oppsync.client import JobClient
from oppsync.receipts import Receipt
from oppsync_ops.cli.connection import job_client
from oppsync_ops.cli.failures import DONE
from oppsync_ops.cli.job_options import job_from, takes_fields
from oppsync_ops.cli.output import note
from oppsync_ops.cli.waiting import tell, wait_for
from oppsync_ops.numbers_given import Number
from oppsync_worker.contract.errors import FieldProblem, InvalidJob
from oppsync_worker.contract.jobs import AnyJob, CreateOpportunity, UpdateOpportunity
from oppsync_worker.contract.names import MAX_JOB_BYTES, Kind
from oppsync_worker.ledger.connect import LedgerUnavailable

_MOST_BYTES: Final = 4 * MAX_JOB_BYTES

_json = click.option(
    "--json", "document", type=click.File("rb"), metavar="FILE", help="Read the job from a JSON object; - is stdin."
)
_wait = click.option(
    "--wait", "wait_s", type=Number(min=0), metavar="SECONDS", help="Wait for the outcome and print it too."
)


@click.command()
@takes_fields(CreateOpportunity)
@_json
@_wait
def create(*, document: IO[bytes] | None, custom: tuple[str, ...], wait_s: float | None, **options: Any) -> int:
    """Create one opportunity. Prints the job's id.

    With --wait the exit code is 1 unless the job succeeded in time.
    """
    return _hand_over(job_from(CreateOpportunity, _read(document, Kind.CREATE), options, custom), wait_s)


@click.command()
@takes_fields(UpdateOpportunity)
@_json
@_wait
def update(*, document: IO[bytes] | None, custom: tuple[str, ...], wait_s: float | None, **options: Any) -> int:
    """Change the given fields of one opportunity. Prints the job's id.

    With --wait the exit code is 1 unless the job succeeded in time.
    """
    return _hand_over(job_from(UpdateOpportunity, _read(document, Kind.UPDATE), options, custom), wait_s)


def _read(document: IO[bytes] | None, kind: Kind) -> dict[str, Any]:
    if document is None:
        return {}
    text = document.read(_MOST_BYTES + 1)
    if len(text) > _MOST_BYTES:
        raise InvalidJob((FieldProblem("--json", f"holds more than {_MOST_BYTES} bytes"),))
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidJob((FieldProblem("--json", f"must be one JSON object{where}"),)) from None
    if not isinstance(found, dict):
        raise InvalidJob((FieldProblem("--json", "must be one JSON object"),))
    if found.pop("kind", kind.value) not in (kind.value, kind.name.lower()):
        raise InvalidJob((FieldProblem("kind", f"must be {kind.name.lower()}, or be left out"),))
    return found


def _hand_over(job: AnyJob, wait_s: float | None) -> int:
    with job_client() as client:
        receipt = _receipt(client, job)
        click.echo(receipt.job_id)
        if not receipt.created:
            note("it had been enqueued before, under the same id or idempotency key: that job is the one printed")
        if wait_s is None:
            return DONE
        return tell(wait_for(client, receipt.job_id, wait_s))


def _receipt(client: JobClient, job: AnyJob) -> Receipt:
    try:
        receipt = client.hand_over([job])[0]
    except LedgerUnavailable:
        if job.idempotency_key is None:
            note(f"to try again without doubling the job, add --job-id {job.job_id}")
        raise
    if receipt.conflict:
        raise receipt.conflict
    return receipt

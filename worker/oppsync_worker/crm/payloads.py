"""A job as the JSON body that SprintHub wants (`POST /crmopportunity`, `PUT /crmopportunity/ID`).

Only documented keys, in the documented order, and no nulls: SprintHub's endpoints are known to refuse unknown
properties, and its clients drop nulls because they upset its validation.
"""

from decimal import Decimal
from json import JSONEncoder
from typing import Any, Final

from oppsync_worker.contract.fields import iso_utc
from oppsync_worker.contract.jobs import AnyJob, CreateOpportunity
from oppsync_worker.instances import InstanceSettings

FIRST_POSITION: Final = 0
"""The `sequence` of a create that names none: the one integration that measured it found the key to be required."""


_ENCODER: Final = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def opportunity_body(job: AnyJob, settings: InstanceSettings, *, marker: str | None) -> bytes:
    """The request's body, as UTF-8.

    Args:
        job: what to send; its kind decides what is filled in.
        settings: how this instance wants `value` and `sequence`, and the name of its marker field.
        marker: the text that lets a lost create be found again (the job's id). It goes into `fields` under the
            instance's `marker_field`: on every create, and on an update only if that has `fields` of its own, since
            whether a PUT merges or replaces them is undocumented. None, or no `marker_field`, adds nothing.
    """
    fields = _fields(job, settings, marker)
    members = (
        ("title", _json(job.title)),
        ("value", _value(job.value, settings)),
        ("crm_column", _json(job.crm_column)),
        ("lead_id", _json(job.lead_id)),
        ("sequence", _sequence(job, settings)),
        ("status", _json(job.status)),
        ("expectedCloseDate", _json(iso_utc(job.expected_close_date)) if job.expected_close_date else None),
        ("user", _json(job.user)),
        ("fields", _json(fields) if fields else None),
    )
    return ("{" + ",".join(f'"{key}":{text}' for key, text in members if text is not None) + "}").encode()


def _json(value: Any) -> str | None:
    return None if value is None else _ENCODER.encode(value)


def _value(value: Decimal | None, settings: InstanceSettings) -> str | None:
    """The amount as exact decimal text: it never passes through a float, so no cent can be lost here."""
    if value is None:
        return None
    text = format(abs(value) if value == 0 else value, "f")  # a minus zero is a valid number that no reader expects
    return f'"{text}"' if settings.value_as == "string" else text


def _sequence(job: AnyJob, settings: InstanceSettings) -> str | None:
    sequence = job.sequence
    if sequence is None:
        if not isinstance(job, CreateOpportunity):
            return None
        sequence = FIRST_POSITION
    return f'"{sequence}"' if settings.sequence_as == "string" else str(sequence)


def _fields(job: AnyJob, settings: InstanceSettings, marker: str | None) -> dict[str, Any]:
    fields = {key: value for key, value in (job.fields or {}).items() if value is not None}
    if marker is not None and settings.marker_field and (fields or isinstance(job, CreateOpportunity)):
        fields[settings.marker_field] = marker
    return fields

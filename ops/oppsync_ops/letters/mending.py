"""Changing fields of a dead letter's job before it is replayed, as `--set crm_column=131` says.

What names the job or its record's key (`job_id`, `instance`, `lane`, `external_ref`, `idempotency_key`) stays as it is:
the ledger has filed the job under it. The contract has the last word on the mended job.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from oppsync_ops.jobs.typed import attribute_of, custom_field, value_of, wire_name
from oppsync_worker.contract.errors import FieldProblem, InvalidJob
from oppsync_worker.contract.jobs import CreateOpportunity, UpdateOpportunity
from oppsync_worker.contract.wire import Envelope, decode, encode

_CUSTOM: Final = "fields."
MENDABLE: Final = (
    *(name for name in CreateOpportunity.DOCUMENT if name != "fields"),
    "funnel_id",
    "opportunity_id",
    "not_before",
    "deadline",
)


@dataclass(frozen=True, slots=True)
class Mending:
    """New values by attribute, and custom fields by display name; None takes a field out."""

    fields: Mapping[str, Any]
    custom: Mapping[str, str | None]

    @classmethod
    def parse(cls, assignments: Iterable[str]) -> Self:
        """Read `name=value` texts; an empty value takes the field out, `fields.Name=value` sets a custom field.

        Raises:
            InvalidJob: with every name that cannot be mended and every value of the wrong form.
        """
        fields: dict[str, Any] = {}
        custom: dict[str, str | None] = {}
        problems = []
        for text in assignments:
            name = text.partition("=")[0].strip()
            try:
                attribute, value = _assignment(text)
            except ValueError as error:
                problems.append(FieldProblem(name[:80], str(error)))
                continue
            if attribute.startswith(_CUSTOM):
                custom[attribute.removeprefix(_CUSTOM)] = value
            else:
                fields[attribute] = value
        if problems:
            raise InvalidJob(tuple(problems))
        return cls(fields, custom)

    def mend(self, message: bytes) -> str:
        """The message of the mended job: same id, same lane. What another application's headers say of its times stays.

        Raises:
            NotAJob: the message cannot be read, or one of its headers that is not mended is no time.
            InvalidJob: the contract refuses the mended job.
        """
        envelope = Envelope.open(message)
        fields = {**envelope.fields, **envelope.times(but=self.fields)}
        for name, value in self.fields.items():
            fields.pop(name, None)
            fields[wire_name(UpdateOpportunity, name)] = value
        if self.custom:
            own = fields.get("fields") or {}
            if not isinstance(own, dict):
                raise InvalidJob((FieldProblem("fields", "must be an object before a custom field can be set"),))
            fields["fields"] = {name: value for name, value in {**own, **self.custom}.items() if value is not None}
        given = {name: value for name, value in fields.items() if value is not None}
        return encode(decode(envelope.task, envelope.job_id, envelope.args, given))


def _assignment(text: str) -> tuple[str, Any]:
    """The attribute, or `fields.` and a display name, and the value; None to take the field out."""
    if text.startswith(_CUSTOM):
        display, value = custom_field(text.removeprefix(_CUSTOM))
        return _CUSTOM + display, value or None
    name, equals, value = text.partition("=")
    attribute = attribute_of(name.strip())
    if not equals:
        raise ValueError("must be written as name=value")
    if attribute is None:
        raise ValueError("is not a field of a job; a custom field is written fields.<display name>")
    if attribute not in MENDABLE:
        raise ValueError("cannot be changed by a replay: discard this job and enqueue another")
    return attribute, value_of(attribute, value) if value else None

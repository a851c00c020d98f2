"""The two jobs, as frozen values.

A job says what to do to one SprintHub opportunity and how it wants to travel. It holds no credential: the worker looks
those up by `instance`. The fields of the CRM's document keep SprintHub's own names on the wire
(`POST /crmopportunity`, `PUT /crmopportunity/ID`); `expected_close_date` is spelt `expectedCloseDate` there.
"""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Final, Literal, Self
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from oppsync_worker.contract.errors import FieldProblem, InvalidJob, told
from oppsync_worker.contract.fields import CustomFields, Id, Instance, JobId, Key, Moment, Money, Title
from oppsync_worker.contract.names import Kind, Lane

Status = Literal["open", "gain", "lost"]
"""The three statuses of the API. `won`, which some clients send, is not one of them."""

Sequence = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
"""The card's position in its column."""


CUSTOM: Final = "fields."
"""What stands before a custom field's name where plain and custom fields are named together."""


class Job(BaseModel):
    """What both kinds share. Use `CreateOpportunity` or `UpdateOpportunity`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    kind: ClassVar[Kind]
    DOCUMENT: ClassVar[tuple[str, ...]] = (
        "title",
        "value",
        "crm_column",
        "lead_id",
        "sequence",
        "status",
        "expected_close_date",
        "user",
        "fields",
    )
    """The attributes that make up SprintHub's document, in its order."""

    instance: Instance
    funnel_id: Id

    title: Title | None = None
    value: Money | None = None
    crm_column: Id | None = None
    lead_id: Id | None = None
    sequence: Sequence | None = None
    status: Status | None = None
    expected_close_date: Moment | None = Field(default=None, alias="expectedCloseDate")
    user: Id | None = None
    fields: CustomFields | None = None

    job_id: JobId = Field(default_factory=lambda: str(uuid4()))
    external_ref: Key | None = None
    idempotency_key: Key | None = None
    lane: Lane = Lane.INTERACTIVE
    not_before: Moment | None = None
    deadline: Moment | None = None

    @model_validator(mode="after")
    def _times_agree(self) -> Self:
        if self.not_before and self.deadline and self.deadline <= self.not_before:
            raise ValueError("deadline must be later than not_before")
        return self

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Self:
        """Build a job from plain JSON values.

        Raises:
            InvalidJob: with every field that is wrong; it never repeats a value.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise InvalidJob(_problems(error)) from None

    @property
    def target(self) -> int | None:
        """The opportunity that is changed, where the job itself names it."""
        return None

    def written(self) -> tuple[str, ...]:
        """Names of the fields that SprintHub is sent, a custom field as `fields.<its name>`."""
        given = self.document()
        custom = given.pop("fields", {})
        return (*given, *(CUSTOM + name for name in custom))

    def without(self, names: Iterable[str]) -> Self:
        """The same job, but for some of the fields that `written` names."""
        left_out = set(names)
        custom = {name: value for name, value in (self.fields or {}).items() if CUSTOM + name not in left_out}
        plain = dict.fromkeys(left_out & set(self.DOCUMENT))
        return self.model_copy(update={**plain, "fields": custom or None})

    def document(self) -> dict[str, Any]:
        """The fields of SprintHub's document that were given, under their attribute names."""
        return {name: value for name in self.DOCUMENT if (value := getattr(self, name)) is not None}


class CreateOpportunity(Job):
    """Create one opportunity: `POST /crmopportunity?id=FUNNEL&i=INSTANCE`.

    `lead_id` may be left out, but then a create whose answer is lost can only be looked for by column, and often only
    an operator can tell what became of it. `external_ref` remembers the new opportunity's id under the caller's key.
    """

    kind: ClassVar[Kind] = Kind.CREATE

    title: Title
    crm_column: Id
    status: Status = "open"


class UpdateOpportunity(Job):
    """Change the given fields of one opportunity: `PUT /crmopportunity/OPPORTUNITY_ID?id=FUNNEL&i=INSTANCE`.

    The record is named by its `opportunity_id`, or by the `external_ref` under which it was created.
    """

    kind: ClassVar[Kind] = Kind.UPDATE

    opportunity_id: Id | None = None

    @property
    def target(self) -> int | None:
        """The opportunity that is changed; None when only its `external_ref` is given."""
        return self.opportunity_id

    @model_validator(mode="after")
    def _says_which_and_what(self) -> Self:
        if self.opportunity_id is None and self.external_ref is None:
            raise ValueError("opportunity_id or external_ref must say which opportunity is meant")
        if not self.document():
            raise ValueError("at least one field to change must be given")
        return self


JOB_TYPES: dict[Kind, type[CreateOpportunity] | type[UpdateOpportunity]] = {
    Kind.CREATE: CreateOpportunity,
    Kind.UPDATE: UpdateOpportunity,
}

AnyJob = CreateOpportunity | UpdateOpportunity


PROBLEMS_TOLD: Final = 20
"""Problems that are named; of more, only how many there are."""

NAME_TOLD_CHARS: Final = 80
"""Of a field's name: a stranger may have chosen it."""


def _problems(error: ValidationError) -> tuple[FieldProblem, ...]:
    problems = []
    details = error.errors(include_url=False, include_context=False, include_input=False)
    for detail in details[:PROBLEMS_TOLD]:
        where = [
            told(str(part), NAME_TOLD_CHARS)
            for part in detail["loc"]
            if not str(part).startswith(("function-", "constrained-"))
        ]
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            message = "is not a field of this job"
        elif detail["type"] == "missing":
            message = "is missing"
        elif detail["type"] == "string_pattern_mismatch":
            message = "holds characters that are not allowed, or is too long"
        message = message.replace("Input should be", "must be").replace("String should", "must")
        problems.append(FieldProblem(".".join(where[:2]), message))
    if len(details) > PROBLEMS_TOLD:
        problems.append(FieldProblem("", f"and {len(details) - PROBLEMS_TOLD} more"))
    return tuple(dict.fromkeys(problems))

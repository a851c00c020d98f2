"""The fields of a job as options: made from the contract's models, so that no field can be forgotten."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import click
from pydantic.fields import FieldInfo

from oppsync_ops.jobs.typed import attribute_of, choices, custom_field, is_whole
from oppsync_worker.contract.errors import FieldProblem, InvalidJob
from oppsync_worker.contract.jobs import AnyJob

HELP: Final[Mapping[str, str]] = {
    "instance": "SprintHub instance: the sub-domain of its address.",
    "funnel_id": "Id of the funnel.",
    "title": "Title.",
    "value": "Amount with a point before the cents, such as 1234.56.",
    "crm_column": "Id of the column.",
    "lead_id": "Id of the lead; without it a lost answer is harder to settle.",
    "sequence": "Position in the column.",
    "status": "Status.",
    "expected_close_date": "Such as 2024-03-21T21:27:00Z.",
    "user": "Id of the user in charge.",
    "job_id": "Id of the job itself; by default a random one.",
    "external_ref": "Your own key for the record.",
    "idempotency_key": "Two jobs with the same key are one.",
    "lane": "interactive when a person waits, bulk when nobody does.",
    "not_before": "Not sent before this time.",
    "deadline": "Not sent after this time.",
    "opportunity_id": "Id of the opportunity to change; or give --external-ref.",
}
"""What the help says of each field."""

_FROM_ENVIRONMENT: Final = {"instance": "SPRINTHUB_INSTANCE"}


def option_of(name: str) -> str:
    """A field's option."""
    return f"--{name.replace('_', '-')}"


def takes_fields(model: type[AnyJob]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Gives a command one option per field of the job, and `--field` for custom fields."""

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        function = click.option(
            "--field", "custom", multiple=True, metavar="NAME=VALUE", help="A custom field, as text. Repeatable."
        )(function)
        for name, field in reversed(model.model_fields.items()):
            if name != "fields":
                function = _option(name, field)(function)
        return function

    return decorate


def _option(name: str, field: FieldInfo) -> Callable[[Callable[..., int]], Callable[..., int]]:
    words = choices(field)
    how: Any = click.INT if is_whole(field) else click.Choice(words) if words else click.STRING
    variable = _FROM_ENVIRONMENT.get(name)
    # Not click's `required`: the field may come from the JSON document.
    words_of_help = f"{HELP[name]} Required." if field.is_required() else HELP[name]
    return click.option(
        option_of(name), name, type=how, help=words_of_help, envvar=variable, show_envvar=variable is not None
    )


def job_from(
    model: type[AnyJob], document: dict[str, Any], options: Mapping[str, Any], custom: tuple[str, ...]
) -> AnyJob:
    """The job that a document and options make; an option comes before the document's field of that name.

    Raises:
        InvalidJob: the contract refuses it. Fields are named as options where there was no document.
    """
    given = {name: value for name, value in options.items() if value is not None}
    values = {key: value for key, value in document.items() if attribute_of(key) not in given} | given
    if custom:
        own = values.get("fields") or {}
        values["fields"] = {**own, **_custom(custom)} if isinstance(own, dict) else own
    try:
        return model.parse(values)
    except InvalidJob as error:
        if document:
            raise
        raise InvalidJob(tuple(_as_option(problem) for problem in error.problems)) from None


def _custom(texts: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        try:
            name, value = custom_field(text)
        except ValueError as error:
            raise InvalidJob((FieldProblem("--field", str(error)),)) from None
        if name in found:
            raise InvalidJob((FieldProblem("--field", f"names {name!r} twice"),))
        found[name] = value
    return found


def _as_option(problem: FieldProblem) -> FieldProblem:
    name, _, rest = problem.field.partition(".")
    attribute = attribute_of(name)
    if attribute == "fields":
        return FieldProblem(f"--field {rest}".strip(), problem.message)
    return FieldProblem(option_of(attribute), problem.message) if attribute else problem

"""A job's fields as a person types them, into the plain JSON values of the contract.

Decided by the field alone: a field of whole numbers is read as one, everything else stays text. What a value may be is
the contract's business.
"""

import re
import types
from enum import EnumType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from oppsync_worker.contract.jobs import AnyJob, UpdateOpportunity

_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")


def value_of(name: str, text: str) -> Any:
    """The value of the field `name` (an attribute's name).

    Raises:
        ValueError: the field is a whole number and the text is none.
    """
    if not is_whole(UpdateOpportunity.model_fields[name]):
        return text
    if not _WHOLE.fullmatch(text.strip()):
        raise ValueError("must be a whole number such as 159")
    return int(text)


def custom_field(text: str) -> tuple[str, str]:
    """Name and value of `Name=value`; everything counts, outer spaces included.

    Raises:
        ValueError: there is no name, or no equals sign.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError("must be written as 'Exact display name=value'")
    return name, value


def is_whole(field: FieldInfo) -> bool:
    """Whether the field is a whole number."""
    return int in _atoms(field.annotation)


def choices(field: FieldInfo) -> tuple[str, ...]:
    """The few words that the field can be, if it is one of few words."""
    found = []
    for atom in _atoms(field.annotation):
        if get_origin(atom) is Literal:
            found += [str(word) for word in get_args(atom)]
        elif isinstance(atom, EnumType):
            found += list(map(str, atom.__members__.values()))
    return tuple(found)


def attribute_of(spelling: str) -> str | None:
    """The attribute that a name stands for, be it the wire's or the attribute's own."""
    for name, field in UpdateOpportunity.model_fields.items():
        if spelling in (name, field.alias):
            return name
    return None


def wire_name(model: type[AnyJob], name: str) -> str:
    """The attribute's name on the wire."""
    return model.model_fields[name].alias or name


def _atoms(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return [atom for part in get_args(annotation) for atom in _atoms(part)]
    if origin is Annotated:
        return _atoms(get_args(annotation)[0])
    return [annotation]

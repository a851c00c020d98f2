"""The names that a header or a JSON object may use: those of the contract, and nothing else."""

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from oppsync.files.lines import printable
from oppsync_worker.contract.jobs import JOB_TYPES, UpdateOpportunity
from oppsync_worker.contract.names import Kind

KIND: Final = "kind"
FIELDS: Final = "fields"
CUSTOM_PREFIX: Final = "fields."
"""A custom field's column is this, followed by the field's exact display name."""

NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        spelling: info.alias or attribute
        # UpdateOpportunity has every field of both kinds.
        for attribute, info in UpdateOpportunity.model_fields.items()
        for spelling in (info.alias or attribute, attribute)
    }
    | {KIND: KIND}
)
"""Each spelling that is understood, with the name on the wire, which is the one to use and to show."""

COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {spelling.lower(): name for spelling, name in NAMES.items() if name != FIELDS}
)
"""What a CSV header may say, in lower case; custom fields apart."""

_KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {spelling: kind for kind in Kind for spelling in (kind.value, kind.name.lower())}
)


def kind_of(text: object) -> Kind | None:
    """The kind that `create`, `update` or a task's name stands for, or `None` if it is none of them."""
    return _KINDS.get(text.strip().lower()) if isinstance(text, str) else None


def required(kind: Kind | None) -> frozenset[str]:
    """The names that a job of the kind cannot do without; of either kind when it is not known."""
    kinds = [kind] if kind else list(Kind)
    return frozenset.intersection(
        *(
            frozenset(NAMES[name] for name, info in JOB_TYPES[each].model_fields.items() if info.is_required())
            for each in kinds
        )
    )


def suggestion(name: str) -> str:
    """What an unknown name was probably meant to be, as the end of a sentence."""
    asked = name.strip().lower()[:40]
    near = difflib.get_close_matches(asked, COLUMNS, n=1, cutoff=0.55)
    if near:
        return f"did you mean {COLUMNS[near[0]]}?"
    return "a custom field is written fields.<its exact display name>"


def known_names() -> str:
    """Every name that is understood, for a message."""
    return ", ".join([*dict.fromkeys(COLUMNS.values()), "fields.<custom field>"])


def quoted(name: str) -> str:
    """A name as it is shown inside of a sentence."""
    return f"'{printable(name)}'"

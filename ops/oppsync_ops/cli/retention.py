"""How long outcomes are kept: the one setting that an operator's command shares with the workers."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from oppsync_worker.settings import Settings, SettingsError


def outcome_ttl_s(environ: Mapping[str, str]) -> int:
    """Seconds that an outcome is kept. Needs no instance to be configured, as the workers' settings would.

    Raises:
        SettingsError: OPPSYNC_OUTCOME_DAYS is wrong.
    """
    days = environ.get("OPPSYNC_OUTCOME_DAYS")
    given: dict[str, Any] = {"instances": {}} | ({"outcome_days": days} if days else {})
    try:
        return Settings.model_validate(given).ttl_s
    except ValidationError as error:
        said = error.errors(include_url=False, include_context=False, include_input=False)[0]["msg"]
        raise SettingsError(f"OPPSYNC_OUTCOME_DAYS: {said.removeprefix('Value error, ').lower()}") from None

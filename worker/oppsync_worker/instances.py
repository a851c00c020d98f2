"""One SprintHub instance as the worker knows it: where it is, how to sign in, and how fast to go.

A table of the instances file, or the two variables for a single instance, becomes one `InstanceSettings`. Defaults are
the careful reading of an API whose limits are undocumented; each says why.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from oppsync_worker.contract.fields import Instance

DEFAULT_BASE_URL: Final = "https://sprinthub-api-master.sprinthub.app"

Seconds = Annotated[float, Field(gt=0, le=86_400)]


def _sendable(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be printable ASCII without spaces (was a line end copied along?)")
    return secret


Token = Annotated[SecretStr, AfterValidator(_sendable)]
"""A credential that an HTTP header can carry."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class BudgetSettings(_Table):
    """Requests one instance may get from all workers together, look-ups included.

    SprintHub's limit is undocumented and shared with the customer's other integrations; integrators measured between
    50 and 100 a minute. 45 in 60 seconds, evenly spaced, is below every figure that was ever throttled.
    """

    requests: Annotated[int, Field(ge=0, le=1_000_000)] = 45
    """Requests per window; 0 means no limit (for tests and benchmarks)."""
    window_seconds: Seconds = 60.0
    concurrency: Annotated[int, Field(ge=0, le=10_000)] = 2
    """Requests in flight at once, over all workers; 0 means no cap."""
    cool_down_seconds: Seconds = 65.0
    """Pause of the whole instance after a throttle; 2 s was tried by integrators and replaced, 35-65 s recover."""


class RetrySettings(_Table):
    """How long a transient failure is worth another attempt: bounded in attempts and in time."""

    max_attempts: Annotated[int, Field(ge=1, le=1_000)] = 12
    max_age_seconds: Annotated[float, Field(gt=0, le=30 * 86_400)] = 86_400.0
    """A job that was first tried longer ago than this is buried as exhausted instead of tried again."""
    first_delay_seconds: Seconds = 2.0
    max_delay_seconds: Seconds = 900.0


class InstanceSettings(_Table):
    """Everything the worker knows of one instance. The token never leaves this object but into a request's header."""

    name: Instance
    token: Token
    bearer: Token | None = None
    """Bearer token, where the instance has a separate one; otherwise the API token is sent in both headers."""
    base_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#@]+$")] = DEFAULT_BASE_URL
    auth: Literal["header", "query"] = "header"
    """`query` puts the token into the URL, for instances that accept nothing else; URLs tend to reach other logs."""
    value_as: Literal["number", "string"] = "number"
    """The documentation says number; some integrations send, and some instances want, a decimal text."""
    sequence_as: Literal["string", "number"] = "string"
    """The documentation says number; the integration that measured it found the text `"0"` to be required."""
    marker_field: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Name of an existing custom field that carries the job's marker; without it a lost answer is harder to settle."""
    connect_seconds: Seconds = 5.0
    read_seconds: Seconds = 30.0
    call_seconds: Annotated[float, Field(gt=0, le=80)] = 40.0
    """Deadline of a whole call; httpx itself has none. A stopping worker waits 90 s for the calls in flight."""
    budget: BudgetSettings = BudgetSettings()
    retry: RetrySettings = RetrySettings()

    @model_validator(mode="after")
    def _a_call_outlasts_its_connecting(self) -> Self:
        # Or a deadline that passes while connecting could not be told from one that passes while sending.
        if self.call_seconds <= self.connect_seconds:
            raise ValueError("call_seconds must be more than connect_seconds")
        return self

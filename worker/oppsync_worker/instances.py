"""One SprintHub instance as the worker knows it: where it is, how to sign in, and how fast to go.

A table of the instances file, or the two variables for a single instance, becomes one `InstanceSettings`. Defaults are
the careful reading of an API whose limits are undocumented; each says why.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from oppsync_worker.contract.fields import Instance

DEFAULT_BASE_URL: Final = "https://sprinthub-api-master.sprinthub.app"

Seconds = Annotated[float, Field(ge=0.001, le=86_400)]
"""The ledger counts in milliseconds: what is less than one would be none at all."""


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
    max_pause_seconds: Seconds = 900.0
    """Longest pause that a throttle's `Retry-After` may ask for: whoever asks for more has made a mistake.
    The instance is then tried four times an hour."""
    learned_min_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of `requests` that is kept, however small the `limite` that a throttle discloses: its window is unknown."""
    learned_seconds: Seconds = 3_600.0
    """How long such a limit is believed; then `requests` are tried again."""


class RetrySettings(_Table):
    """How long a transient failure is worth another attempt: bounded in attempts and in time."""

    max_attempts: Annotated[int, Field(ge=1, le=1_000)] = 12
    max_age_seconds: Annotated[float, Field(gt=0, le=30 * 86_400)] = 86_400.0
    """A job that was first tried longer ago than this is buried as exhausted instead of tried again."""
    first_delay_seconds: Seconds = 2.0
    max_delay_seconds: Seconds = 900.0
    """Longest wait before another attempt, whatever `Retry-After` asks for, and before a refused job is tried again."""
    max_refusals: Annotated[int, Field(ge=1, le=1_000)] = 5
    """How often one job alone may be refused with 401 or 403 while others of its instance succeed; then it is dead."""


class ReconcileSettings(_Table):
    """How a create whose answer was lost is looked for in the CRM, and what may be done without a person.

    SprintHub's lists are the only witness: they may lag behind a create, and a create may be carried out long after its
    caller gave up. No figures are published, so looking goes on for five minutes before "absent" is believed.
    """

    enabled: bool = True
    """False leaves every doubt to a person."""
    probe_after_seconds: Annotated[tuple[Seconds, ...], Field(min_length=2, max_length=20)] = (5, 15, 45, 120, 300)
    """When to look, counted from the send. The last is the settle window: nothing is called absent before it."""
    column_pages: Annotated[int, Field(ge=1, le=1_000)] = 20
    """Most pages of 100 records read when only the column's list can tell; a longer column proves nothing."""
    on_probable: Literal["operator", "adopt"] = "operator"
    """One record without a marker fits in every respect and belongs to no other job."""
    on_absent: Literal["resend", "operator"] = "resend"
    """The marker is known to land, and the lead's list never had it."""
    on_probably_absent: Literal["operator", "resend"] = "operator"
    """Nothing fits, but the proof is weaker: only the column's list could be read, or there is no marker."""
    patience_seconds: Annotated[float, Field(gt=0, le=7 * 86_400)] = 3_600.0
    """How long look-ups that fail are repeated before a person is asked."""
    max_absences: Annotated[int, Field(ge=1, le=1_000)] = 3
    """How often one create may be proved absent; then it is dead instead of sent again. Each time costs a request, and
    the look-ups that prove it."""
    max_share: Annotated[float, Field(gt=0, le=0.5)] = 0.25
    """Share of the instance's requests that look-ups get at most while jobs wait for theirs."""

    @model_validator(mode="after")
    def _ever_later(self) -> Self:
        if list(self.probe_after_seconds) != sorted(set(self.probe_after_seconds)):
            raise ValueError("probe_after_seconds must grow from one to the next")
        return self


class BreakerSettings(_Table):
    """When an instance fails again and again, it is left alone: a create sent to it would only end in doubt."""

    failures: Annotated[int, Field(ge=0, le=1_000)] = 5
    """Failures in a row (no connection, no answer, 5xx) that open the breaker; 0 means never."""
    open_seconds: Seconds = 10.0
    """First pause; each trial that fails doubles it."""
    max_open_seconds: Seconds = 300.0


class OrderSettings(_Table):
    """Updates of one record take effect in the order in which they were enqueued."""

    after_dead: Literal["go_on", "wait"] = "go_on"
    """What later updates of a record do while an earlier one is a dead letter."""
    settle_seconds: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """How long the next update of a record waits after an earlier one's answer was lost: SprintHub may still carry that
    one out, and would put its older values over the newer."""


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
    reconcile: ReconcileSettings = ReconcileSettings()
    breaker: BreakerSettings = BreakerSettings()
    order: OrderSettings = OrderSettings()

    @model_validator(mode="after")
    def _a_call_outlasts_its_connecting(self) -> Self:
        # Or a deadline that passes while connecting could not be told from one that passes while sending.
        if self.call_seconds <= self.connect_seconds:
            raise ValueError("call_seconds must be more than connect_seconds")
        return self

    @model_validator(mode="after")
    def _nothing_is_absent_while_its_call_lasts(self) -> Self:
        if self.reconcile.enabled and self.reconcile.probe_after_seconds[-1] < self.call_seconds:
            raise ValueError("the last of reconcile.probe_after_seconds must not be less than call_seconds")
        return self

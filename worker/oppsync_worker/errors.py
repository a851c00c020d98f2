"""What can go wrong with one attempt, and what becomes of the job.

The class alone decides; nobody but `crm.classify` reads a status code or a body (ADR 0003).

    AttemptError
    ├── NotSent             provably nothing was sent (DNS, connect, TLS, pool)     -> retry, attempt spent
    ├── Unavailable         an update's fate is unknown or the CRM failed           -> retry, attempt spent
    ├── Throttled           refused before execution, instance over its limit       -> wait, no attempt spent
    ├── CredentialRefused   token or right missing                                  -> instance held, no attempt spent
    ├── Rejected            the CRM will never take this job as it is               -> dead
    └── AnswerLost          a create was sent and what became of it is unknown      -> in doubt, never re-sent blindly
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seen:
    """What may be told of an answer: never a body, a header or a URL with its query.

    `status` is the HTTP status (None when there was no answer), `text` a redacted line of at most 200 characters.
    """

    status: int | None
    text: str


class AttemptError(Exception):
    """One attempt did not succeed."""

    def __init__(self, seen: Seen, *, retry_after_s: float | None = None) -> None:
        super().__init__(seen.text if seen.status is None else f"HTTP {seen.status}: {seen.text}")
        self.seen = seen
        self.retry_after_s = retry_after_s
        """Seconds the CRM asked us to stay away (RFC 9110, section 10.2.3), if it did."""


class NotSent(AttemptError):
    """Nothing left this machine; trying again cannot double anything."""


class Unavailable(AttemptError):
    """The CRM failed or fell silent on an update, which may safely be sent again."""


class Throttled(AttemptError):
    """The instance is over its limit. SprintHub says so with 401 and `too many requests` in the body."""

    def __init__(
        self,
        seen: Seen,
        *,
        retry_after_s: float | None = None,
        usage: int | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__(seen, retry_after_s=retry_after_s)
        self.usage = usage
        self.limit = limit
        """SprintHub's `limite`: requests allowed in its (unnamed) window."""


class CredentialRefused(AttemptError):
    """The instance's token is missing, wrong or lacks a right."""


class Rejected(AttemptError):
    """The CRM refused the job for good."""


class AnswerLost(AttemptError):
    """A create was sent, and whether it was carried out is unknown."""

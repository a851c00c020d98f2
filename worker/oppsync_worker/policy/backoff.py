"""How long to wait before another attempt.

Exponential backoff with full jitter: a uniform draw between nothing and the doubled ceiling, which spreads a herd best
(M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015). What the CRM asks for in `Retry-After`
comes first, up to the ceiling, with a little jitter on top so that its askers do not return as one.
"""

from oppsync_worker.instances import RetrySettings

JITTER_ON_REQUEST = 0.1
"""Share of a requested delay that is added at most."""

LEAST_DELAY_S = 0.1
"""Even a lucky draw leaves the CRM a moment."""


def delay_s(attempt: int, settings: RetrySettings, *, draw: float, retry_after_s: float | None) -> float:
    """Seconds until attempt number `attempt` + 1; `draw` is a uniform number in [0, 1)."""
    if retry_after_s is not None:
        asked = min(retry_after_s * (1 + JITTER_ON_REQUEST * draw), settings.max_delay_seconds)
        return max(asked, LEAST_DELAY_S)
    # Doubling 60 times is beyond any ceiling, and below float's.
    ceiling = min(settings.max_delay_seconds, settings.first_delay_seconds * 2.0 ** min(attempt - 1, 60))
    return max(ceiling * draw, LEAST_DELAY_S)

"""The settings that our workers run with, and which of the product's own they stand for."""

from collections.abc import Iterator

from oppsync_ops.prove.form import Form
from oppsync_ops.prove.plan import Allowance, Plan
from oppsync_ops.prove.stage import MARKER_FIELD, token
from oppsync_worker.settings import Settings

ATTEMPTS = 60
"""More than the product's 12, since the pauses between them are seconds here and minutes there."""


def instances_file(plan: Plan) -> str:
    """The text of `SPRINTHUB_INSTANCES_FILE`."""
    return "\n".join(line for name, allowance in plan.budgets.items() for line in _table(name, allowance, plan))


def telling(plan: Plan) -> dict[str, str]:
    """What matters of them, in words."""
    form = plan.form
    probes = ", ".join(f"{after:g}" for after in form.probe_after_s)
    budgets = ", ".join(f"{name} {one.requests}" for name, one in plan.budgets.items())
    return {
        "redis": "appendonly yes, appendfsync always",
        "lease_seconds": f"{form.lease_s:g} (default {Settings.model_fields['lease_seconds'].default:g})",
        "budgets": f"{budgets} requests in any {form.window_s:g} s; the CRM throttles at one more",
        "marker_field": MARKER_FIELD if plan.options.marker else "none",
        "lead_id": "in every create" if plan.options.leads else "in none",
        "reconcile.probe_after_seconds": f"{probes} (default 5, 15, 45, 120, 300)",
        "reconcile.on_probably_absent": (
            "resend (default operator): a lead without cards is answered 400, so that their absence is never proved"
            if plan.options.needs_met
            else "operator"
        ),
        "order.settle_seconds": f"{form.order_settle_s:g} (default 60)",
        "the CRM's lateness": (
            f"commits up to {max(form.late_s, form.too_slow_s):g} s after the request, new records missing from lists"
            f" for {form.lag_s:g} s: less than is waited for above, as no wait is proof against what comes later still"
        ),
        "call_seconds": f"{form.call_s:g} (default 40)",
        "budget.cool_down_seconds": f"{form.cool_down_s:g} (default 65)",
        "retry": f"{ATTEMPTS} attempts, at most {form.retry_most_s:g} s apart (default 12, 900 s)",
        "reconcile.max_absences": f"{ATTEMPTS} (default 3)",
    }


def _table(name: str, allowance: Allowance, plan: Plan) -> Iterator[str]:
    form = plan.form
    yield f"[{name}]"
    yield f'token = "{token(name)}"'
    if plan.options.marker:
        yield f'marker_field = "{MARKER_FIELD}"'
    yield from ("connect_seconds = 2.0", f"read_seconds = {form.read_s}", f"call_seconds = {form.call_s}")
    yield f"[{name}.budget]"
    yield from (f"requests = {allowance.requests}", f"window_seconds = {allowance.window_s}")
    yield from (f"concurrency = {allowance.in_flight}", f"cool_down_seconds = {form.cool_down_s}")
    yield f"[{name}.retry]"
    yield from (f"max_attempts = {ATTEMPTS}", "first_delay_seconds = 0.3", f"max_delay_seconds = {form.retry_most_s}")
    yield from _tables_of_doubt(name, form, needs_met=plan.options.needs_met)


def _tables_of_doubt(name: str, form: Form, *, needs_met: bool) -> Iterator[str]:
    yield f"[{name}.reconcile]"
    yield from (f"probe_after_seconds = {list(form.probe_after_s)}", f"max_absences = {ATTEMPTS}")
    if needs_met:
        yield 'on_probably_absent = "resend"'
    yield f"[{name}.breaker]"
    yield from (f"open_seconds = {form.breaker_s}", f"max_open_seconds = {4 * form.breaker_s}")
    yield f"[{name}.order]"
    yield f"settle_seconds = {form.order_settle_s}"

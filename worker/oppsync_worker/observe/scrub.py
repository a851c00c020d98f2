"""What may leave this process with a Sentry event. Everything that is not named here stays.

Sentry is a border: an event is built anew from a list of allowed parts, instead of the forbidden ones being cut out.

1. Request data, local variables, process arguments, modules, users, foreign tags and contexts are never copied.
2. An exception keeps its class and its stack with source lines. Its text is kept only if the class is ours, since we
   know what we write; anybody else's may quote a person (`ValueError: invalid name 'Maria'`), which no pattern finds.
3. A breadcrumb comes from a log record or not at all, and says the record's template or place, never its arguments.
4. Texts that are kept pass through `redact` and through the patterns below.
5. Known secrets are taken out of every text of the event at last, wherever it came from.

A failure in here drops the event (sentry_sdk sends nothing when `before_send` raises): we err toward silence.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

from oppsync_worker.observe.context import job_context
from oppsync_worker.observe.plain import clipped, guarded, one_line, text_of

WITHHELD: Final = "[text withheld; the log has it, redacted]"
MIN_SECRET_CHARS: Final = 4
"""A shorter secret would turn half of every event into `[secret]`, and protects nothing."""
MAX_EVENT_TEXT_CHARS: Final = 500
MAX_READ_CHARS: Final = 5_000
"""What is looked at of a text; bounds the patterns' work."""

_EVENT_KEYS: Final = (
    "event_id",
    "timestamp",
    "platform",
    "level",
    "release",
    "environment",
    "server_name",
    "sdk",
    "type",
)
_TAGS: Final = ("instance", "kind", "lane", "cause", "attempt")
_CONTEXTS: Final = ("dead_letter", "alarm")
"""Those that this package makes itself."""
_TRACE: Final = ("trace_id", "span_id", "parent_span_id", "op", "status", "origin")
_FRAME: Final = ("filename", "module", "function", "lineno", "in_app", "pre_context", "context_line", "post_context")
_MECHANISM: Final = ("type", "handled", "source", "exception_id", "parent_id", "is_exception_group")
_CRUMB: Final = ("timestamp", "type", "level", "category", "message")
_SPAN: Final = ("trace_id", "span_id", "parent_span_id", "op", "status", "start_timestamp", "timestamp")

_REPORTED: Final = frozenset({"buried", "unexpected", "undecided", "marker_lost", "surplus", "strays"})
"""Lines that become an event of their own need not stand in it as well."""

_UUID: Final = re.compile(r"(?i)\b[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\b")
_PATTERNS: Final = (
    (re.compile(r"(?s)\{.*"), "{…}"),
    (re.compile(r"(?is)\bdataLead\b.*"), "[lead]"),
    (re.compile(r"://[^/\s@]+@"), "://[credentials]@"),
    (re.compile(r"\?[^\s'\"<>]*=[^\s'\"<>]*"), "?[query]"),
    (re.compile(r"(?i)\bbearer\s+\S+"), "[secret]"),
    (
        re.compile(
            r"(?i)((?:token|passw(?:or)?d|senha|secret|api[_-]?key|authorization)['\"]?\s*[:=]\s*['\"]?)[^\s'\",;]+"
        ),
        r"\1[secret]",
    ),
    (re.compile(r"[\w.+'%-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"), "[e-mail]"),
    (_UUID, "[uuid]"),
    (re.compile(r"(?<![\w.])\+?\(?\d(?:[\s().\-/]{0,3}\d){7,24}(?!\w)"), "[number]"),
)
"""What a text may not carry: anything from a brace on (a body, cut off or not), a lead's fields, credentials, queries,
e-mails, tokens, and numbers of eight digits or more (telephones, CPF, CNPJ; that also hides dates and large ids, which
the tags carry)."""


class Scrubber:
    """Builds what may be sent, knowing the secrets of this process and how the CRM's texts are redacted."""

    def __init__(self, *, secrets: Iterable[SecretStr | str], redact: Callable[[str], str]) -> None:
        self._secrets = _pattern_of(secrets)
        self._redact = guarded(redact)

    def text(self, text: str) -> str:
        """A text of unknown origin, cleaned, in one line."""
        text = self._without_secrets(text)
        if len(text) > MAX_READ_CHARS:  # what the cut has halved would not be recognised: drop that word
            text = text[:MAX_READ_CHARS].rpartition(" ")[0]
        text = self._redact(text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return clipped(one_line(text), MAX_EVENT_TEXT_CHARS)

    def event(self, event: Mapping[str, Any], error: BaseException | None) -> dict[str, Any]:
        """An error or message event, built anew."""
        new = _only(event, _EVENT_KEYS)
        new["tags"] = self._tags(event)
        for name in ("message", "transaction", "logger"):
            if isinstance(event.get(name), str):
                new[name] = self.text(event[name])
        if isinstance(event.get("fingerprint"), list):
            new["fingerprint"] = [self.text(text_of(part)) for part in event["fingerprint"]]
        new["contexts"] = self._contexts(event)
        if exceptions := _values(event.get("exception")):
            ours = _texts_of_ours(error)
            new["exception"] = {"values": [self._exception(one, ours) for one in exceptions]}
        if crumbs := _values(event.get("breadcrumbs")):
            new["breadcrumbs"] = {"values": [_only(crumb, _CRUMB) for crumb in crumbs]}
        return {key: self._deeply(value) for key, value in new.items()}

    def transaction(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """A trace, if somebody turned tracing on: names, times and states, no descriptions and no data."""
        new = _only(event, (*_EVENT_KEYS, "start_timestamp", "transaction", "transaction_info"))
        new["contexts"] = self._contexts(event)
        new["spans"] = [_only(span, _SPAN) for span in event.get("spans") or () if isinstance(span, Mapping)]
        return {key: self._deeply(value) for key, value in new.items()}

    def breadcrumb(self, crumb: Mapping[str, Any], record: object) -> dict[str, Any] | None:
        """The crumb without the record's arguments; None for those that no record vouches for, or that are reported."""
        if not isinstance(record, logging.LogRecord):
            return None
        fields = getattr(record, "fields", None)
        if isinstance(fields, Mapping) and fields.get("event") in _REPORTED:
            return None
        if isinstance(fields, Mapping):
            said = text_of(fields.get("event"))
        elif record.args and isinstance(record.msg, str):
            said = record.msg
        else:  # the text may have been put together beforehand: tell only where it was said
            said = f"{record.module}.{record.funcName}:{record.lineno}"
        return {**_only(crumb, _CRUMB), "message": self.text(said)}

    def _tags(self, event: Mapping[str, Any]) -> dict[str, str]:
        given = event.get("tags")
        given = given if isinstance(given, Mapping) else {}
        job = job_context.get()
        tags = {name: given.get(name) or getattr(job, name, None) for name in _TAGS}
        new = {name: self.text(text_of(value)) for name, value in tags.items() if value is not None}
        job_id = given.get("job_id") or (job.job_id if job else None) or given.get("celery_task_id")
        if job_id is not None:
            known = text_of(job_id)
            new["job_id"] = known if _UUID.fullmatch(known) else self.text(known)
        return new

    def _contexts(self, event: Mapping[str, Any]) -> dict[str, Any]:
        given = event.get("contexts")
        given = given if isinstance(given, Mapping) else {}
        new = {"trace": _only(given["trace"], _TRACE)} if isinstance(given.get("trace"), Mapping) else {}
        for ours in _CONTEXTS:
            if isinstance(given.get(ours), Mapping):
                new[ours] = {
                    name: self.text(value) if isinstance(value, str) else value for name, value in given[ours].items()
                }
        return new

    def _exception(self, given: Mapping[str, Any], ours: Mapping[tuple[str, str], str]) -> dict[str, Any]:
        text = ours.get((text_of(given.get("module")), text_of(given.get("type"))))
        new = _only(given, ("type", "module"))
        new["value"] = WITHHELD if text is None else self.text(text)
        if isinstance(given.get("mechanism"), Mapping):
            new["mechanism"] = _only(given["mechanism"], _MECHANISM)
        stack = given.get("stacktrace")
        if isinstance(stack, Mapping):
            new["stacktrace"] = {"frames": [_only(frame, _FRAME) for frame in stack.get("frames") or ()]}
        return new

    def _deeply(self, value: Any) -> Any:
        match value:
            case str():
                return self._without_secrets(value)
            case Mapping():
                return {key: self._deeply(item) for key, item in value.items()}
            case list() | tuple():
                return [self._deeply(item) for item in value]
            case _:
                return value

    def _without_secrets(self, text: str) -> str:
        return text if self._secrets is None else self._secrets.sub("[secret]", text)


def _pattern_of(secrets: Iterable[SecretStr | str]) -> re.Pattern[str] | None:
    """Every secret as it may be written: plain, in a URL, in a `repr`; the longest first."""
    plain = {(one.get_secret_value() if isinstance(one, SecretStr) else one).strip() for one in secrets}
    written = {
        form
        for secret in plain
        if len(secret) >= MIN_SECRET_CHARS
        for form in (secret, quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1])
    }
    longest_first = sorted(written, key=lambda form: (-len(form), form))
    return re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE) if longest_first else None


def _texts_of_ours(error: BaseException | None) -> dict[tuple[str, str], str]:
    """Texts of the errors in the chain whose classes are this package's own, by module and class name."""
    texts: dict[tuple[str, str], str] = {}
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        module = type(error).__module__
        if module.partition(".")[0] == "oppsync_worker":
            texts.setdefault((module, type(error).__name__), text_of(error))
        error = error.__cause__ or error.__context__
    return texts


def _only(given: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: given[name] for name in names if given.get(name) is not None}


def _values(given: object) -> list[Mapping[str, Any]]:
    values = given.get("values") if isinstance(given, Mapping) else None
    return [one for one in values if isinstance(one, Mapping)] if isinstance(values, list) else []

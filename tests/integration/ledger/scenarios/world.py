"""A ledger whose clock the test turns: every answer, and every difference of all that is stored, as text.

What is told is what a script was asked, what it answered, and what is stored now and was not before: keys, fields,
scores, the order of lists, times to live. Not by which commands: a script may become cheaper without a word.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final
from weakref import WeakKeyDictionary

import redis

from integration.ledger.aborting import EVERYTHING
from integration.ledger.canonical import canonical
from integration.ledger.desk import ATTEMPT, LANES
from oppsync import CreateOpportunity, UpdateOpportunity
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.wire import encode
from oppsync_worker.ledger import assembly, claims, ends, enqueuing, scripts
from oppsync_worker.ledger.assembly import Script
from oppsync_worker.ledger.begin import begin
from oppsync_worker.ledger.promoting import promote
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.version import release
from stage import told

START_MS: Final = 1_800_000_000_000
TTL_S: Final = 86_400
NOW: Final = "test:now"
SEEN: Final = "test:seen"
"""Set: outcomes of conditions that a script has come to (`coverage`)."""
A_LONG_TIME_MS: Final = 10_000_000_000

_BEFORE: Final = """
local function test_time()
  local ms = tonumber(redis.call('GET', '<now>'))
  return { string.format('%.0f', math.floor(ms / 1000)), string.format('%.0f', ms % 1000 * 1000) }
end
-- The clock that keys are forgotten by is the server's own: what a test took of it is made up for.
local function test_pttl(key)
  local ms = redis.call('PTTL', key)
  return ms > 0 and math.ceil(ms / 1000) * 1000 or ms
end
-- What Redis draws is what comes first.
local function test_members(key, most)
  local members = redis.call('SMEMBERS', key)
  table.sort(members)
  return { unpack(members, 1, math.min(#members, most)) }
end
""".replace("<now>", NOW)

Stored = dict[str, tuple[str, int, dict[str, str]]]
"""By key: its kind, seconds to live (-1: for ever), and what it holds, by field, member or place."""


def create(job_id: str, **given: Any) -> CreateOpportunity:
    """A create."""
    values = {"instance": "acme", "funnel_id": 7, "title": "T", "crm_column": 130, "lane": "bulk", **given}
    return CreateOpportunity.parse({"job_id": job_id, **values})


def update(job_id: str, record: int | str, **given: Any) -> UpdateOpportunity:
    """An update of a record, named by SprintHub's id or by its create's reference."""
    name = {"opportunity_id": record} if isinstance(record, int) else {"external_ref": record}
    values = {"instance": "acme", "funnel_id": 7, "title": "U", "lane": "bulk", **name, **given}
    return UpdateOpportunity.parse({"job_id": job_id, **values})


def plain(name: str, put: Callable[[str, str], str] = lambda _, text: text) -> str:
    """A script's text as the product composes it; `put` changes a file's text on its way."""

    def lines(name: str, included: set[str]) -> Iterator[str]:
        text = (assembly.files(assembly.__package__) / "lua" / f"{name}.lua").read_text("utf-8")
        for line in put(name, text).splitlines():
            if not line.startswith(assembly.INCLUDE):
                yield line
            elif (other := line.removeprefix(assembly.INCLUDE).strip()) not in included:
                included.add(other)
                yield from lines(other, included)

    before, assembly._lines = assembly._lines, lines
    try:
        return assembly.load.__wrapped__(name).text
    finally:
        assembly._lines = before


def compose(name: str, put: Callable[[str, str], str] = lambda _, text: text) -> Script:
    """A script that asks the test what time it is."""
    text = plain(name, put).replace("server('TIME')", "test_time()").replace("server('PTTL', ", "test_pttl(")
    text = _BEFORE + text.replace("server('SRANDMEMBER', ", "test_members(")
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@cache
def composed(name: str) -> Script:
    """`compose`, once."""
    return compose(name)


class World:
    """Everybody who uses a ledger, and what there is to tell of it."""

    def __init__(self, client: redis.Redis, script: Callable[[str], Script] = composed) -> None:
        """Begins with an empty ledger."""
        self.client, self._script = client, script
        self.lines: list[str] = []
        self.scripts: set[str] = set()
        """Scripts that were run."""
        self.now = START_MS
        self._questions = 0
        self.jobs: dict[str, AnyJob] = {}
        self._taken: dict[str, ends.Hand] = {}
        self._stored: Stored = {}
        client.flushdb()
        client.set(NOW, self.now)

    # Telling.

    def run(self, call: Call) -> Any:
        """Run a script, and tell what it was asked, what it answered and what it has changed."""
        script, arguments = self._script(call.script), scripts.packed(call)
        self.scripts.add(call.script)
        if script.digest not in _loaded(self.client):
            self.client.script_load(script.text)
            _loaded(self.client).add(script.digest)
        pipe = self.client.pipeline()
        pipe.evalsha(script.digest, 0, *arguments)
        pipe.eval(EVERYTHING, 0)
        answer, found = pipe.execute(raise_on_error=False)
        if isinstance(found, Exception):
            raise found
        asked = " ".join(_readable(one.decode("utf-8", "replace")) for one in arguments)
        said = f"error: {_own_words(answer)}" if isinstance(answer, Exception) else _text(answer)
        before, self._stored = self._stored, stored(found)
        self.lines += [f"> {call.script} {_relative(asked)}".rstrip(), f"= {_relative(said)}"]
        self.lines += [f"  {_relative(line)}" for line in differences(before, self._stored)]
        return answer

    def put(self, *words: Any) -> None:
        """A command by hand: what another version, an operator or an accident has left."""
        self.client.execute_command(*words)
        self._stored = stored(self.client.eval(EVERYTHING, 0))
        self.lines.append(_relative("! " + " ".join(_readable(str(word)) for word in words)))

    def passes(self, ms: int) -> None:
        """Time, on Redis' clock."""
        self.now += ms
        self.client.set(NOW, self.now)
        self.lines.append(f"... {ms} ms")

    # A producer.

    def enqueue(self, *jobs: AnyJob) -> Any:
        """Hand jobs over, each in a call of its own."""
        self.jobs |= {job.job_id: job for job in jobs}
        return [self.run(enqueuing.enqueue(job)) for job in jobs][-1]

    def push(self, *jobs: AnyJob, **headers: Any) -> None:
        """As another Celery application does."""
        for job in jobs:
            message = json.loads(encode(job))
            message["headers"] |= {"origin": "gen1@elsewhere", **headers}
            self.put("LPUSH", job.lane.queue, json.dumps(message))

    # A worker.

    def told(self, instance: str = "acme", **facts: Any) -> Any:
        """A worker tells what it knows of an instance."""
        return self.run(told(instance, **facts))

    def claim(self, most: int = 10, *, question: str | None = None) -> list[ends.Hand]:
        """Take messages."""
        self._questions += 1
        asked = question or f"q{self._questions}"
        answer = self.run(claims.claim(LANES, most=most, lease_ms=60_000, worker="w", question=asked))
        taken, _ = claims.claimed(answer)
        return [ends.Hand(one.tag, _id(one.message), TTL_S) for one in taken]

    def take(self, job_id: str) -> ends.Hand:
        """Take messages; the claim that is of this job, taken now or with others before."""
        self._taken |= {hand.job_id: hand for hand in self.claim()}
        return self._taken.pop(job_id)

    def begin(self, hand: ends.Hand, job: AnyJob, *, number: int | None = None, **given: Any) -> Any:
        """Ask to send."""
        self._questions += 1
        return self.run(begin(hand, job, horizon_ms=250, number=number or self._questions, **{"own": True, **given}))

    def sends(self, *jobs: AnyJob) -> list[ends.Hand]:
        """Jobs are enqueued, claimed and begun."""
        self.enqueue(*jobs)
        hands = self.claim()
        for hand in hands:
            self.begin(hand, self.jobs[hand.job_id])
        return hands

    def promote(self, *, most: int = 10, takes: int = 0, seen: "tuple[int, int] | None" = None) -> Any:
        """What time alone decides."""
        return self.run(promote(most=most, horizon_ms=250, ttl_s=TTL_S, takes=takes, look_ms=60_000, seen=seen))

    def succeed(self, hand: ends.Hand, opportunity_id: int = 5, **given: Any) -> Any:
        """The CRM has it."""
        return self.run(ends.succeed(hand, opportunity_id=opportunity_id, result={}, **given))

    def bury(self, hand: ends.Hand, **given: Any) -> Any:
        """The CRM will not have it."""
        values = {"cause": ends.Cause.REJECTED, "detail": "words", "attempt": ATTEMPT, **given}
        return self.run(ends.bury(hand, **values))

    def restore(self, *, crashes: int = 3, **given: Any) -> Any:
        """Claims whose worker fell silent."""
        return self.run(claims.restore(most=10, crashes=crashes, ttl_s=TTL_S, **given))


_KNOWN: "WeakKeyDictionary[redis.Redis, set[str]]" = WeakKeyDictionary()


def _loaded(client: redis.Redis) -> set[str]:
    """Scripts that a server has been told."""
    return _KNOWN.setdefault(client, set())


def _own_words(error: Exception) -> str:
    """Without what a server says around them, which depends on its version, and in which line of a script it was."""
    words = re.search(r"illegal transition of job \S+: \w+ -> \w+", str(error))
    return words[0] if words else re.sub(r"script:\d+", "script", str(error))


def _id(message: bytes) -> str:
    job_id: str = json.loads(message.decode("utf-8", "replace"))["headers"]["id"]
    return job_id


def stored(found: Any) -> Stored:
    """All that there is, from what the server says of it."""
    seen: Stored = {}
    for raw, kind, ttl, value in found:
        key = raw.decode().removeprefix("oppsync:")
        if key.startswith("test:"):
            continue
        texts = [one.decode("utf-8", "backslashreplace") for one in value]
        match kind:
            case b"hash" | b"zset":
                held = dict(zip(texts[::2], texts[1::2], strict=True))
            case b"set":
                held = dict.fromkeys(texts, "in it")
            case _:
                held = {str(place): one for place, one in enumerate(texts)}
        seen[key] = (kind.decode(), -1 if ttl < 0 else -(-ttl // 1000), held)
    return seen


def differences(before: Stored, after: Stored) -> Iterator[str]:
    """What is stored now and was not before, and the other way round."""
    for key in sorted(before.keys() | after.keys()):
        if key not in after:
            yield f"{key}: gone"
            continue
        (kind, ttl, held), (_, ttl_before, old) = after[key], before.get(key, ("", -1, {}))
        # A second may pass while a test looks on.
        if (ttl < 0) != (ttl_before < 0) or abs(ttl - ttl_before) > max(5, ttl_before // 10):
            yield f"{key}: kept for ever" if ttl < 0 else f"{key}: kept for {ttl} s"
        if held == old:
            continue
        if kind == "list":
            yield f"{key}: [{', '.join(map(_readable, held.values()))}]"
            continue
        told = []
        for name in sorted(held.keys() | old.keys()):
            was, now = old.get(name), held.get(name)
            if was != now:
                said = (
                    "gone"
                    if now is None
                    else _readable(now)
                    if was is None
                    else f"{_readable(was)} -> {_readable(now)}"
                )
                told.append(f"{name}: {said}")
        yield f"{key}: {' | '.join(told)}"


def _readable(text: str) -> str:
    """One word for a message."""
    if text.startswith('{"'):
        try:
            message = json.loads(text)
            job_id = message["headers"]["id"]
        except (ValueError, KeyError, TypeError):
            return canonical(text)
        try:
            body = message["body"]
            body = base64.b64decode(body) if message["properties"]["body_encoding"] == "base64" else body
            title = json.loads(body)[1]["title"]
        except (ValueError, KeyError, TypeError, IndexError):
            title = "?"
        return f"<message of {job_id}: {title}>"
    return repr(text) if not text or text != text.strip() or not text.isprintable() else text


def _text(answer: Any) -> str:
    if isinstance(answer, list):
        return f"[{', '.join(map(_text, answer))}]"
    if isinstance(answer, bytes):
        return _readable(answer.decode("utf-8", "backslashreplace"))
    return "nil" if answer is None else str(answer)


def _relative(line: str) -> str:
    """Times as what has passed since the start, digests in short, the version by that name."""

    def time(match: re.Match[str]) -> str:
        past = float(match[2]) - START_MS
        return match[0] if abs(past) > A_LONG_TIME_MS else f"{'bulk ' if match[1] else ''}T{past:+.15g}"

    line = line.replace(release(), "<version>")
    line = re.sub(r"-(\d{16})\b", lambda tag: f"@{(int(tag[1]) - START_MS * 1000) // 1000}", line)
    line = re.sub(r"(?<![\d.])(1(?=1[78]))?(1[78]\d{11}(?:\.\d+)?)(?![\d.])", time, line)
    return re.sub(r"\b([0-9a-f]{6})[0-9a-f]{18,58}\b", r"<\1>", line)

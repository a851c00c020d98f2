"""The control endpoints under ``/__sim/``: outside authentication, throttle, counters and journal.

Every answer is JSON; a request that cannot be understood is answered 400 with the reason under ``error``.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from oppsync_ops.simulator import control_views
from oppsync_ops.simulator.answers import encoded
from oppsync_ops.simulator.appointments import settle
from oppsync_ops.simulator.journal import Filter
from oppsync_ops.simulator.rendering import dump

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from oppsync_ops.simulator.call import Target
    from oppsync_ops.simulator.server import Simulator

_log: Final = logging.getLogger(__name__)
_ROWS_PER_CHUNK: Final = 500


class Control:
    """One method per endpoint; rows of the two long lists are streamed."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._endpoints: dict[tuple[str, str], Callable[[Mapping[str, str], Any], Any]] = {
            ("GET", "health"): self._health,
            ("POST", "reset"): self._reset,
            ("GET", "config"): self._config,
            ("PATCH", "config"): self._configure,
            ("GET", "faults"): self._faults,
            ("POST", "faults"): self._add_faults,
            ("DELETE", "faults"): self._remove_faults,
            ("GET", "counters"): self._counters,
            ("POST", "expected"): self._expect,
            ("GET", "instances"): self._instances,
            ("POST", "instances"): self._declare,
            ("GET", "clock"): self._clock,
            ("POST", "clock"): self._advance,
            ("POST", "refuse"): self._refuse,
            ("POST", "restart"): self._restart,
        }

    async def answer(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        """Answer one control request."""
        name = target.path.removeprefix("/__sim/").rstrip("/")
        settle(self._simulator.simulation, self._simulator.simulation.clock.now())
        try:
            body = json.loads(await request.read() or "null")
            if request.method == "GET" and name == "records":
                rows = control_views.records(
                    self._simulator.simulation, target.query.get("instance"), marker=target.query.get("marker")
                )
                return await _stream(request, "records", rows, target.query)
            if request.method == "GET" and name == "journal":
                journal = self._simulator.simulation.journal
                return await _stream(request, "rows", journal.rows(_filter(target.query)), target.query)
            endpoint = self._endpoints.get((request.method, name))
            if endpoint is None:
                return _json({"error": f"no control endpoint {request.method} /__sim/{name}"}, status=404)
            return _json(endpoint(target.query, body))
        except (ValueError, RecursionError, web.HTTPRequestEntityTooLarge) as error:
            return _json({"error": str(error)}, status=400)
        except Exception:  # noqa: BLE001 - one bad call must not take the others down
            _log.exception("the control endpoint %s failed", name)
            self._simulator.simulation.counters.internal_errors += 1
            return _json({"error": "internal error"}, status=500)

    def _health(self, _query: Mapping[str, str], _body: Any) -> Any:
        sim = self._simulator.simulation
        return {"status": "ok", "listening": self._simulator.listening, "instances": sorted(sim.instances)}

    def _reset(self, _query: Mapping[str, str], body: Any) -> Any:
        seed = _object(body).get("seed")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise ValueError(f"seed is a whole number, not {seed!r}")
        self._simulator.reset(seed=seed)
        return {"status": "reset", "seed": self._simulator.simulation.config.seed}

    def _config(self, _query: Mapping[str, str], _body: Any) -> Any:
        return self._simulator.simulation.config.knobs()

    def _configure(self, query: Mapping[str, str], body: Any) -> Any:
        self._simulator.configure(**_object(body))
        return self._config(query, body)

    def _faults(self, _query: Mapping[str, str], _body: Any) -> Any:
        return {"faults": self._simulator.simulation.faults.described()}

    def _add_faults(self, _query: Mapping[str, str], body: Any) -> Any:
        given = body if isinstance(body, list) else [body]
        for one in given:
            if not isinstance(one, (str, dict)):
                raise ValueError(f"a fault is a specification or an object, not {one!r}")  # noqa: TRY004
        return {"added": self._simulator.add_faults(given)}

    def _remove_faults(self, query: Mapping[str, str], _body: Any) -> Any:
        return {"removed": self._simulator.remove_faults(query.get("id"))}

    def _counters(self, query: Mapping[str, str], _body: Any) -> Any:
        shown = self._simulator.counters(by_marker=query.get("by_marker") in {"1", "true"})
        wanted = query.get("instance")
        if wanted is not None:
            shown["instances"] = {name: one for name, one in shown["instances"].items() if name == wanted}
        return shown

    def _expect(self, _query: Mapping[str, str], body: Any) -> Any:
        asked = _object(body)
        instance, markers = asked.get("instance"), asked.get("markers")
        if not isinstance(instance, str) or not isinstance(markers, list):
            raise ValueError('expected takes {"instance": NAME, "markers": [...]}')  # noqa: TRY004
        self._simulator.expect(instance, map(str, markers))
        return {"expected": len(self._simulator.simulation.counters.instances[instance].expected)}

    def _instances(self, _query: Mapping[str, str], _body: Any) -> Any:
        instances = self._simulator.simulation.instances
        return {"instances": [control_views.declared(one.declared) for one in instances.values()]}

    def _declare(self, _query: Mapping[str, str], body: Any) -> Any:
        return control_views.declared(self._simulator.declare(_object(body)))

    def _clock(self, _query: Mapping[str, str], _body: Any) -> Any:
        clock = self._simulator.simulation.clock
        return {"now": clock.now(), "stepped": clock.stepped, "sleeping": clock.sleeping}

    def _advance(self, query: Mapping[str, str], body: Any) -> Any:
        self._simulator.advance(_seconds(body, "advance_s"))
        return self._clock(query, body)

    def _refuse(self, _query: Mapping[str, str], body: Any) -> Any:
        self._simulator.refuse(_seconds(body, "s"))
        return {"status": "refusing connections"}

    def _restart(self, _query: Mapping[str, str], body: Any) -> Any:
        self._simulator.restart(_seconds(body, "s"))
        return {"status": "restarting"}


async def _stream(
    request: web.BaseRequest, key: str, rows: Iterable[dict[str, Any]], query: Mapping[str, str]
) -> web.StreamResponse:
    """``{"<key>": [...], "total": N}``, of which ``offset`` and ``limit`` choose a part."""
    offset, limit = _count(query, "offset", 0), _count(query, "limit", None)
    response = web.StreamResponse(headers={"Content-Type": "application/json; charset=utf-8"})
    chosen: list[str] = []
    total, shown, lead_in = 0, 0, f'{{"{key}":['
    for row in rows:
        total += 1
        if total > offset and (limit is None or shown < limit):
            shown += 1
            chosen.append(dump(row))
        if len(chosen) >= _ROWS_PER_CHUNK:
            if not response.prepared:
                await response.prepare(request)
            await response.write(encoded(lead_in + ",".join(chosen)))
            lead_in, chosen = ",", []
    if not response.prepared:
        await response.prepare(request)
    lead_in = "" if lead_in == "," and not chosen else lead_in
    await response.write(encoded(f'{lead_in}{",".join(chosen)}],"total":{total}}}'))
    await response.write_eof()
    return response


def _filter(query: Mapping[str, str]) -> Filter:
    return Filter(
        instance=query.get("instance"),
        marker=query.get("marker"),
        kind=query.get("kind"),
        after=_count(query, "after", 0) or 0,
    )


def _count(query: Mapping[str, str], key: str, default: int | None) -> Any:
    found = query.get(key)
    if found is None:
        return default
    if not (found.isascii() and found.isdigit()):
        raise ValueError(f"{key} is a whole number, not {found!r}")
    return int(found)


def _seconds(body: Any, key: str) -> float:
    found = _object(body).get(key)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or found < 0:
        raise ValueError(f"{key} is a number of seconds, not {found!r}")
    return float(found)


def _object(body: Any) -> dict[str, Any]:
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise ValueError("the body is not a JSON object")  # noqa: TRY004 - answered 400 like any other bad value
    return body


def _json(document: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=encoded(dump(document)), status=status, content_type="application/json", charset="utf-8")

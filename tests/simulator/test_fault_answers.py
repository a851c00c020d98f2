"""Faults of the answer: what the CRM has done, and what the client gets to know."""

import asyncio

import httpx
import pytest

from simulator.integrator import Eventually, Integrator


@pytest.mark.parametrize(("how", "error"), [("fin", httpx.RemoteProtocolError), ("rst", httpx.ReadError)])
@pytest.mark.parametrize(("fault", "created"), [("drop_before_commit", 0), ("drop_after_commit", 1)])
async def test_an_answer_is_lost_before_or_after_the_commit(
    crm: Integrator, *, fault: str, created: int, how: str, error: type[Exception]
) -> None:
    """The client cannot tell which; the counters can."""
    crm.sim.add_fault(f"{fault}:how={how}")

    with pytest.raises(error):
        await crm.create("m1")

    figures = crm.figures()
    assert (figures["created"], figures["committed"]) == (created, created)
    assert (figures["received"], figures["answered"], figures["unanswered"]) == (1, 0, 1)
    (row,) = [row for row in crm.sim.journal() if row["kind"] == "request"]
    assert (row["fault"], row["committed"], row["status"]) == (f"{fault}#1", bool(created), None)


async def test_an_update_is_lost_after_it_took_effect(crm: Integrator) -> None:
    """GET one shows it."""
    opportunity = await crm.created()
    crm.sim.add_fault("drop_after_commit:method=PUT")

    with pytest.raises(httpx.RemoteProtocolError):
        await crm.update(opportunity["id"], title="new")

    assert (await crm.read(opportunity["id"])).json()["title"] == "new"


@pytest.mark.parametrize(
    ("commit", "before", "after", "status"), [("start", 1, 1, 200), ("end", 0, 1, 200), ("never", 0, 0, 504)]
)
async def test_slow_commits_at_the_start_at_the_end_or_never(
    crm: Integrator, eventually: Eventually, *, commit: str, before: int, after: int, status: int
) -> None:
    """The answer waits for the clock."""
    crm.sim.add_fault(f"slow:ms=35000,commit={commit}")
    sent = asyncio.create_task(crm.create("m1"))
    await eventually(lambda: crm.sim.simulation.clock.sleeping == 1)
    records_before = len(crm.sim.records())
    crm.sim.advance(34.9)
    still_waiting = crm.sim.simulation.clock.sleeping == 1
    crm.sim.advance(0.1)

    answer = await sent

    assert still_waiting
    assert (records_before, len(crm.sim.records()), answer.status_code) == (before, after, status)


async def test_a_client_that_gave_up_does_not_stop_a_late_commit(crm: Integrator, eventually: Eventually) -> None:
    """The read timeout is the client's affair."""
    crm.sim.add_fault("slow:ms=35000,commit=end")
    sent = asyncio.create_task(crm.create("m1"))
    await eventually(lambda: crm.sim.simulation.clock.sleeping == 1)
    sent.cancel()
    await asyncio.gather(sent, return_exceptions=True)
    await eventually(lambda: crm.sim.counters()["connections"]["open"] == 0)

    crm.sim.advance(35)
    await eventually(lambda: crm.sim.counters()["client_gone"] == 1)

    assert crm.figures()["created"] == 1
    assert crm.figures()["unanswered"] == 1


async def test_a_late_commit_appears_after_its_504(crm: Integrator) -> None:
    """Ids and dates are those of the moment of the commit."""
    crm.sim.add_fault("late_commit:s=20,times=1")

    answer = await crm.create("late")
    crm.sim.advance(19)
    early = (await crm.by_lead()).status_code
    other = await crm.created("other")
    crm.sim.advance(1)
    rows = (await crm.by_lead()).json()

    assert (answer.status_code, answer.headers["content-type"], early) == (504, "text/html", 400)
    late = next(row for row in rows if row["fields"]["oppsync"] == "late")
    assert late["id"] == other["id"] + 1
    assert late["createDate"] == "2026-01-05T12:00:20.000Z"
    assert crm.figures()["markers"]["late"]["opportunities_created"] == 1


async def test_a_late_commit_can_be_silent(crm: Integrator, eventually: Eventually) -> None:
    """No answer at all; the connection ends after hang_s."""
    crm.sim.add_fault("late_commit:s=20,answer=silence,hang_s=30")
    sent = asyncio.create_task(crm.create("late"))
    await eventually(lambda: crm.sim.simulation.clock.sleeping == 1)

    crm.sim.advance(30)

    with pytest.raises(httpx.RemoteProtocolError):
        await sent
    assert crm.figures()["created"] == 1


async def test_a_late_update_overwrites_a_newer_one(crm: Integrator) -> None:
    """The last write wins, and the last is not the newest."""
    opportunity = await crm.created()
    crm.sim.add_fault("late_commit:s=20,method=PUT,times=1")
    await crm.update(opportunity["id"], title="older")
    await crm.update(opportunity["id"], title="newer")
    crm.sim.advance(20)

    (record,) = crm.sim.records()

    assert record["title"] == "older"
    assert [update["changes"] for update in record["updates"]] == [{"title": "newer"}, {"title": "older"}]


@pytest.mark.parametrize("commit", ["no", "yes"])
@pytest.mark.parametrize("status", [502, 504])
async def test_a_gateway_answers_html(crm: Integrator, *, status: int, commit: str) -> None:
    """Before or after the commit."""
    crm.sim.add_fault(f"gateway:status={status},commit={commit}")

    answer = await crm.create("m1")

    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html")
    assert answer.text.startswith("<html>")
    assert len(crm.sim.records()) == (commit == "yes")


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("json", "application/json; charset=utf-8", '{"msg":"Internal error"}'),
        ("empty", "text/plain; charset=utf-8", ""),
        ("text", "text/plain; charset=utf-8", "Internal error"),
    ],
)
@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_any_error_status_with_any_body(
    crm: Integrator, *, status: int, body: str, content_type: str, text: str
) -> None:
    """With and without a commit."""
    crm.sim.add_fault(f"http:status={status},body={body},commit=yes")

    answer = await crm.create("m1")

    assert (answer.status_code, answer.headers["content-type"], answer.text) == (status, content_type, text)
    assert len(crm.sim.records()) == 1


async def test_an_error_can_ask_for_a_pause_and_disclose_a_limit(crm: Integrator) -> None:
    """In whatever form: both are what the far end writes."""
    crm.sim.add_fault("http:status=429,msg=too many requests,retry_after=999999999999,limite=1.0")

    answer = await crm.create("m1")

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "999999999999")
    assert answer.json() == {"msg": "too many requests", "usage": 2, "limite": "1.0"}


async def test_a_200_is_not_enough(crm: Integrator) -> None:
    """HTML, half a JSON, an empty object, no id, another lead's echo, a body cut short."""
    answers = {}
    for kind in ("html", "truncated", "empty_object", "missing_id", "other_lead"):
        crm.sim.remove_faults()
        crm.sim.add_fault(f"bad_200:kind={kind}")
        answers[kind] = await crm.create(kind)
    crm.sim.remove_faults()
    crm.sim.add_fault("bad_200:kind=cut")
    with pytest.raises(httpx.RemoteProtocolError, match="peer closed"):
        await crm.create("cut")

    assert {answer.status_code for answer in answers.values()} == {200}
    assert answers["html"].headers["content-type"] == "text/html"
    with pytest.raises(ValueError, match="char"):
        answers["truncated"].json()
    assert answers["empty_object"].json() == {}
    assert "id" not in answers["missing_id"].json()
    assert answers["other_lead"].json()["lead_id"] == 8474
    assert crm.figures()["created"] == 6


async def test_a_bad_200_of_an_update_lacks_the_id_under_data(crm: Integrator) -> None:
    """The envelope stays."""
    opportunity = await crm.created()
    crm.sim.add_fault("bad_200:kind=missing_id,method=PUT")

    answer = (await crm.update(opportunity["id"], title="x")).json()

    assert answer["msg"] == "The opportunity has been updated."
    assert "id" not in answer["data"]


async def test_a_throttle_burst_refuses_the_next_calls(crm: Integrator) -> None:
    """N of them, whatever the budget says."""
    crm.sim.add_fault("throttle_burst:n=3,nth=2")

    statuses = [(await crm.create(f"m{number}")).status_code for number in range(6)]

    assert statuses == [200, 401, 401, 401, 200, 200]
    assert crm.figures()["created"] == 3
    assert crm.figures()["throttled"] == 3


async def test_removing_the_faults_ends_a_burst(crm: Integrator) -> None:
    """Nothing of it is left."""
    rule = crm.sim.add_fault("throttle_burst:n=100")
    await crm.by_column()

    assert crm.sim.remove_faults("another") == 0
    assert (await crm.by_column()).status_code == 401
    assert crm.sim.remove_faults(rule) == 1
    assert (await crm.by_column()).status_code == 200


async def test_only_reads_can_be_throttled(crm: Integrator) -> None:
    """A failed read is not an absence."""
    crm.sim.add_fault("throttle_reads")
    opportunity = await crm.created()

    reads = [await crm.by_lead(), await crm.by_column(), await crm.read(opportunity["id"])]

    assert all("too many requests" in answer.json()["msg"] for answer in reads)
    assert (await crm.update(opportunity["id"], title="x")).status_code == 200


async def test_throttled_after_the_commit(crm: Integrator) -> None:
    """Created, and told to come back later."""
    crm.sim.add_fault("throttle_after_commit:times=1")

    answers = [await crm.create("m1"), await crm.create("m1")]

    assert "too many requests" in answers[0].json()["msg"]
    assert answers[1].status_code == 200
    assert crm.figures()["duplicates"] == 1


async def test_a_token_can_be_revoked_for_a_time(crm: Integrator) -> None:
    """The other 401; it spends no budget and commits nothing."""
    crm.sim.add_fault("token_revoked:from_s=10,to_s=20")

    answers = []
    for _ in range(3):
        answers.append(await crm.create("m1"))
        crm.sim.advance(10)

    assert [answer.status_code for answer in answers] == [200, 401, 200]
    assert answers[1].json() == {"msg": "Invalid token."}
    assert crm.figures()["refused_token"] == 1


async def test_the_server_clock_can_be_wrong(crm: Integrator) -> None:
    """Date header and createDate, shifted alike."""
    right = await crm.create()
    crm.sim.add_fault("clock_skew:s=-90,times=1")
    skewed = await crm.create()
    crm.sim.configure(clock_skew_s=3600)
    knob = await crm.create()

    assert right.headers["date"] == "Mon, 05 Jan 2026 12:00:00 GMT"
    assert skewed.headers["date"] == "Mon, 05 Jan 2026 11:58:30 GMT"
    assert skewed.json()["createDate"] == "2026-01-05T11:58:30.000Z"
    assert knob.headers["date"] == "Mon, 05 Jan 2026 13:00:00 GMT"
    assert knob.json()["createDate"] == "2026-01-05T13:00:00.000Z"

"""Which fault hit which jobs."""

from oppsync_ops.prove.driver import Deed
from oppsync_ops.prove.evidence import Request
from oppsync_ops.prove.hits import Hit, by_job, counted, hits
from oppsync_ops.prove.schedule import Fault
from unit.prove.world import CREATE, FIRST

JOBS = {job.job_id: job for job in (CREATE, FIRST)}
KILL = Deed(Fault.KILL, 5.0, (FIRST.job_id, "foreign"), "worker 1")


def request(at: float, fault: str | None, *, path: str = "/crmopportunity", job_id: str | None = None) -> Request:
    """A request to the instance of the jobs."""
    return Request(at, "alder", "POST", path, None, fault=fault, job_id=job_id)


def test_blows_are_told_in_order_of_time() -> None:
    """The driver's and the CRM's; a request that nothing befell is none."""
    lost = request(4.0, "answer lost", job_id=CREATE.job_id)

    found = hits([KILL], [request(1.0, None, job_id=CREATE.job_id), lost], JOBS)

    assert [(hit.fault, hit.jobs) for hit in found] == [
        ("answer lost", (CREATE.job_id,)),
        (Fault.KILL, (FIRST.job_id, "foreign")),
    ]


def test_a_look_up_hits_whoever_was_created_for_its_lead() -> None:
    """Any other request without a mark hits nobody who could be named."""
    by_lead = request(1.0, "down", path=f"/listopportunitysleadcomplete/{CREATE.lead_id}")
    by_column = request(2.0, "down", path="/crm/opportunities/7")

    found = hits([], [by_lead, by_column], JOBS)

    assert [hit.jobs for hit in found] == [(CREATE.job_id,), ()]


def test_faults_are_counted_those_too_that_never_struck() -> None:
    """And those of which no request tells; a job that was hit twice is one job."""
    found = [Hit("a", 1.0, ("x",)), Hit("a", 2.0, ("x", "y")), Hit("b", 3.0, ())]

    counts = counted(found, names=["never", "a"], unseen={"closed": 2, "b": 1}, some=1)

    assert [(one.fault, one.times, one.jobs, one.some) for one in counts] == [
        ("never", 0, 0, ()),
        ("a", 2, 2, ("x",)),
        ("b", 2, 0, ()),
        ("closed", 2, 0, ()),
    ]


def test_every_job_has_its_own_story() -> None:
    """In order of time."""
    first, second = Hit("a", 1.0, ("x",)), Hit("b", 2.0, ("x", "y"))

    assert by_job([first, second]) == {"x": [first, second], "y": [second]}

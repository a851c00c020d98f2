"""What `AsyncResult(job_id).get()` raises in a Celery application for a job that did not succeed.

The ledger names these classes in the result that it writes: `Job` and the cause in CamelCase. An application without
this package gets a class of the same name, made by Celery.

    JobFailed
    ├── JobRejected, JobRefused, JobExhausted, JobInvalid, JobUnknownTask, JobUndecodable, JobMalformed,
    │   JobOversized, JobPoison, JobConflict,
    │   JobLost, JobInternal                        dead, until replayed
    ├── JobExpired                                  its deadline passed before SprintHub had confirmed it
    └── JobDiscarded                                a person dropped it, or it was a twin
"""


class JobFailed(Exception):
    """A job ended without success; the text says why."""


class JobRejected(JobFailed):
    """The CRM refused the job for good."""


class JobRefused(JobFailed):
    """The credential has no right to what this job names: it alone was refused (401 or 403) again and again."""


class JobExhausted(JobFailed):
    """Transient failures used up the job's attempts or its time."""


class JobInvalid(JobFailed):
    """The job's payload breaks the contract."""


class JobUnknownTask(JobFailed):
    """The message named a task that the worker does not have."""


class JobUndecodable(JobFailed):
    """The message could not be decoded."""


class JobMalformed(JobFailed):
    """The message was not of Celery's protocol."""


class JobOversized(JobFailed):
    """The message was larger than a worker decodes."""


class JobPoison(JobFailed):
    """The job lost its worker again and again."""


class JobLost(JobFailed):
    """The job's message is in no place any more: the queue was purged, or a key removed by hand."""


class JobConflict(JobFailed):
    """Another job stands under the job's idempotency key, and asks for something else."""


class JobInternal(JobFailed):
    """An error of the worker's own, before anything was sent."""


class JobExpired(JobFailed):
    """The job's deadline passed before SprintHub had confirmed it; the text says whether it was ever sent."""


class JobDiscarded(JobFailed):
    """A person discarded the job, or it was a twin of another."""

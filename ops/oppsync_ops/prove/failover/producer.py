"""The application that hands jobs over while Redis changes, and notes what was acknowledged."""

import threading
import time
from typing import Final

from oppsync import JobClient
from oppsync_ops.prove.ours import built
from oppsync_ops.prove.planned import PlannedJob
from oppsync_worker.ledger.connect import LedgerUnavailable

AGAIN_S: Final = 0.3


class Producer:
    """One application that hands everything over, and notes what was acknowledged."""

    def __init__(self, url: str, jobs: tuple[PlannedJob, ...], load_s: float) -> None:
        self._url = url
        self._load_s = load_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="producer")
        self._failure: BaseException | None = None
        self._began = 0.0
        self.jobs = jobs
        self.by_id = {job.job_id: job for job in jobs}
        self.acknowledged: dict[str, float] = {}
        self.repeated = 0

    def start(self) -> None:
        """Begin."""
        self._began = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Hand over nothing more.

        Raises:
            Exception: it failed, and nothing may be concluded.
        """
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._failure:
            raise self._failure

    @property
    def done(self) -> bool:
        """Whether everything is handed over, or nothing more will be."""
        return not self._thread.is_alive()

    def wait_until(self, at_s: float) -> None:
        """Wait until so many seconds after the start."""
        time.sleep(max(0.0, self._began + at_s - time.monotonic()))

    def _work(self) -> None:
        try:
            with JobClient(self._url) as client:
                for job in self.jobs:
                    if self._over.wait(max(0.0, self._began + job.at * self._load_s - time.monotonic())):
                        return
                    self._hand_over(client, job)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            self._failure = error

    def _hand_over(self, client: JobClient, job: PlannedJob) -> None:
        while not self._over.is_set():
            try:
                client.enqueue(built(job, None))
            except LedgerUnavailable:
                self.repeated += 1
                self._over.wait(AGAIN_S)
            else:
                self.acknowledged[job.job_id] = time.time()
                return

"""Kills every worker that sends one certain job, until the job is buried as poison."""

import threading
import time
from dataclasses import replace
from typing import Final

import redis

from oppsync_ops.prove.driver import Deed, Driver
from oppsync_ops.prove.planned import PlannedJob

LOOK_EVERY_S: Final = 0.05
"""Its call takes seconds, so it cannot come to an end between two looks."""


class Executioner:
    """Lies in wait for the job, for as long as the block lasts."""

    def __init__(self, driver: Driver, killer: PlannedJob) -> None:
        self._driver = driver
        self._killer = killer
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._lie_in_wait, name="executioner", daemon=True)
        self.deeds: list[Deed] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """No longer."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _lie_in_wait(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            try:
                deed = self._driver.kill_who_sends(self._killer)
            except redis.RedisError:
                time.sleep(LOOK_EVERY_S)
                continue
            if deed:
                self.deeds.append(replace(deed, until=time.time()))

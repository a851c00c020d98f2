"""A producer in a process of its own: `python -m oppsync_ops.bench.enqueue_probe CALLS JOBS`.

Prints one JSON object: the seconds of each of CALLS single calls, and the seconds that JOBS jobs took in bulk. Building
the jobs is not counted. Leaves the JOBS in Redis, and nothing else but the scripts that it loaded. The environment has
Redis' address, since there is a password in it.
"""

import json
import os
import sys
import time

import redis

from oppsync import JobClient
from oppsync_ops.bench.load import WARM_UP_JOBS, creates


def main(redis_url: str, calls: int, jobs: int) -> None:
    """Measure and print."""
    singles: list[float] = []
    with JobClient(redis_url) as client, redis.Redis.from_url(redis_url) as ledger:
        for job in creates(WARM_UP_JOBS):
            client.enqueue(job)
        for job in creates(calls):
            began = time.perf_counter()
            client.enqueue(job)
            singles.append(time.perf_counter() - began)
        # Valkey frees memory in the background unless it is told not to, and what is freed later would be taken off.
        ledger.execute_command("FLUSHALL", "SYNC")
        before = ledger.info("memory")["used_memory"]
        built = list(creates(jobs))
        began = time.perf_counter()
        client.enqueue_many(built)
        bulk_s = time.perf_counter() - began
        after = ledger.info("memory")["used_memory"]
    json.dump({"singles_s": singles, "bulk_s": bulk_s, "memory_bytes": after - before}, sys.stdout)


if __name__ == "__main__":
    main(os.environ["REDIS_URL"], int(sys.argv[1]), int(sys.argv[2]))

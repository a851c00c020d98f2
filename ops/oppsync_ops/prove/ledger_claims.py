"""Which jobs are in which worker's hands, as the ledger has it."""

from typing import Any

import redis

from oppsync_ops.prove.contender import Claim
from oppsync_worker.ledger import keys


def claims_in(client: redis.Redis) -> list[Claim]:
    """All claims that the ledger knows."""
    tags: Any = client.zrange(keys.LEASES, 0, -1)
    pipe: Any = client.pipeline(transaction=False)
    for tag in tags:
        pipe.hmget(f"{keys.PREFIX}claim:{tag.decode()}", "job", "worker")
    return [
        Claim(tag.decode(), job.decode(), worker.decode())
        for tag, (job, worker) in zip(tags, pipe.execute(), strict=True)
        if job and worker
    ]

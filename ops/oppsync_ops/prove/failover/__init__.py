"""`oppsync prove --failover`: the primary dies while its replica lags, and the replica is promoted.

Replication is asynchronous: what the primary had acknowledged, and the replica had not received, is gone, and no queue
on Redis can have it back. What is proved is everything else.

1. `run` starts a primary, a replica behind a link that can be frozen, the simulated CRM and workers. Workers and
   producers reach Redis through a proxy. Jobs are handed over; the link freezes; a little later the primary is killed
   (SIGKILL), the replica promoted, and the proxy pointed at it.
2. `audit` tells what replication lost from what the product lost.

With `--wait-replicas` the workers run with `OPPSYNC_WAIT_REPLICAS`: no request leaves before a replica has taken note
of it. Then no create that was sent twice is excused.
"""

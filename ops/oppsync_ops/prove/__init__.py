"""`oppsync prove`: the proof that anybody can run, with a seed of their own.

1. `plan` draws jobs and faults from the seed: the same seed, the same plan.
2. `stage` starts a Redis, a simulated CRM, proxies and workers, all on loopback in a folder of their own.
3. `producer` hands the jobs over while `driver` kills, cuts, freezes and restarts, and the CRM misbehaves by `rules`.
4. `settling` lifts every fault and waits until nothing moves any more.
5. `audit` holds the CRM's own records and journal against the plan. It is pure, and each of its checks can fail.

The simulator is the witness: what a worker says of itself counts for nothing where the CRM can be asked.
"""

"""`oppsync bench`: what this software costs and how fast it is, measured on the machine it is run on.

| measurement | says |
|---|---|
| enqueue | how long a producer waits, how many jobs a second it hands over, what a queued job weighs in Redis |
| import | what `import oppsync` adds to an application's start, and that nothing heavy comes along |
| throughput | jobs a second of one worker process, beside plain Celery doing the same calls in the same run |
| budget | how much of an instance's budget two workers use, and that they never go over it |

Each starts a Redis, a simulated CRM and workers of its own, as processes on loopback, and leaves nothing behind. What
the CRM saw is what counts: rates, gaps and windows come from the simulator's journal, never from the worker.

Absolute figures belong to the machine and to what else it is doing. Ratios within one run are what can be compared.
"""

"""Celery's extension points, mended for jobs that must not be lost or doubled. Knows Celery, not the CRM.

    loop.py          the asyncio thread that jobs, leases and housekeeping run on
    hands.py         which claims this process has in hand, and which of them are settled
    transport.py     claiming by script instead of BRPOP; nothing is restored because a connection broke
    pool.py, bridge.py   `async def` tasks, hundreds at a time, under Celery's own tracer
    consumer.py      what Celery cannot run is buried before it is acknowledged
    housekeeping.py  leases renewed and restored, due jobs promoted, slots handed out: by every worker, without a leader
    sweep.py         jobs in no place, and places without a job: there should be none
    engine.py        what these share

The overridden names of celery and kombu are pinned by `tests/conformance/`.
"""

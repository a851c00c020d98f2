"""The job at hand."""

import asyncio

import pytest

from oppsync_worker.observe.context import handling, job_context


async def test_jobs_on_one_thread_do_not_mix() -> None:
    """Each asyncio task sees its own job, and what it starts inherits it."""
    seen: dict[str, str | None] = {}
    both = asyncio.Barrier(2)

    async def inner(name: str) -> None:
        await both.wait()
        job = job_context.get()
        seen[name] = job.job_id if job else None

    async def one(name: str) -> None:
        with handling(name, instance="acme"):
            await asyncio.create_task(inner(name))

    await asyncio.gather(one("a"), one("b"))

    assert seen == {"a": "a", "b": "b"}
    assert job_context.get() is None


def test_the_former_job_comes_back_after_an_error() -> None:
    """Blocks may be nested and may fail."""
    with handling("outer"):
        with pytest.raises(RuntimeError), handling("inner"):
            raise RuntimeError

        after = job_context.get()

    assert after is not None
    assert after.job_id == "outer"

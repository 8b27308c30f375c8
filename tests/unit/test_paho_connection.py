"""Cancelling what waits for a broker's answer."""

from __future__ import annotations

import asyncio

import pytest

from gateway.sinks.paho_connection import heed_cancel


@pytest.mark.parametrize("answer", [None, ConnectionError("no")])
async def test_a_cancel_in_the_same_turn_as_the_answer_is_heeded(answer: Exception | None) -> None:
    """asyncio.wait_for of Python 3.11 returns the answer and forgets the cancel: `metergate collect` could not be stopped."""
    answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(heed_cancel(asyncio.wait_for(answered, 5)))
    await asyncio.sleep(0)
    if answer is None:
        answered.set_result(None)
    else:
        answered.set_exception(answer)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_answer_and_a_refusal_pass_and_an_earlier_cancel_is_not_this_ones() -> None:
    async def clean_up() -> str:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            return await heed_cancel(asyncio.sleep(0, "cleaned up"))
        return ""

    task = asyncio.create_task(clean_up())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "cleaned up"

    async def refuse() -> None:
        raise ConnectionError("no")

    with pytest.raises(ConnectionError):
        await heed_cancel(refuse())

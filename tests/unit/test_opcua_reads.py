"""Read calls of OPC UA: each value goes to the variable it was asked for, or to nobody."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from asyncua import ua

from drivers.opcua.allowance import Allowance, TooLong
from drivers.opcua.reads import Reads
from gateway.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable


def number(value: int) -> ua.DataValue:
    return ua.DataValue(ua.Variant(value, ua.VariantType.Int32))


class Server:
    """Answers each Read as it is told; `calls` keeps what was asked."""

    def __init__(self, answer: Callable[[list[int]], list[int]]) -> None:
        self.calls: list[list[int]] = []
        self._answer = answer
        self.client: Any = SimpleNamespace(uaclient=SimpleNamespace(read=self._read))

    async def _read(self, asked: ua.ReadParameters) -> list[ua.DataValue]:
        self.calls.append([int(value.NodeId.Identifier) for value in asked.NodesToRead])
        return [number(value) for value in self._answer(self.calls[-1])]


def poll(count: int) -> Any:
    class Asked:
        meter, protocol = "m-1", "opcua"
        sources = tuple(f"ns=2;i={i}" for i in range(count))

    return Asked()


def values(answers: list[ua.DataValue]) -> list[int | None]:
    return [answer.Value.Value if answer.Value is not None else None for answer in answers]


async def test_one_too_few_and_one_too_many_are_not_taken_together() -> None:
    server = Server(lambda asked: asked[:-1] if 0 in asked else [*asked, 99])
    with pytest.raises(DeviceError, match="3 values for 4 asked"):
        await Reads("link", 4).fetch(server.client, poll(8))


@pytest.mark.parametrize("long", [{3}, {0, 7}, {2, 3, 4, 5}, set(range(8))])
async def test_variables_that_are_far_too_long_cost_only_themselves_and_are_left_out_from_then_on(
    long: set[int],
) -> None:
    def answer(asked: list[int]) -> list[int]:
        if long & set(asked):
            raise TooLong("too long")
        return asked

    server, reads, asked = Server(answer), Reads("link", 0), poll(8)
    expected = [None if i in long else i for i in range(8)]
    assert values(await reads.fetch(server.client, asked)) == expected
    assert len(server.calls) <= 2 * 8
    server.calls.clear()
    assert values(await reads.fetch(server.client, asked)) == expected
    assert server.calls == ([[i for i in range(8) if i not in long]] if len(long) < 8 else [])
    assert reads.is_vast("ns=2;i=3") == (3 in long)


async def test_what_was_left_out_does_not_shift_the_rest() -> None:
    """A server that goes on answering for all eight is not believed for seven."""
    whole = False

    def answer(asked: list[int]) -> list[int]:
        if 3 in asked:
            raise TooLong("too long")
        return list(range(8)) if whole else asked

    server, reads, asked = Server(answer), Reads("link", 0), poll(8)
    await reads.fetch(server.client, asked)
    whole = True
    with pytest.raises(DeviceError, match="8 values for 7 asked"):
        await reads.fetch(server.client, asked)


async def test_an_answer_that_comes_with_the_deadline_is_a_timeout() -> None:
    """wait_for2 tells that by a class of its own, which asyncio.timeout would let through."""

    class WithResult(asyncio.CancelledError):
        pass

    async def send(_request: object) -> bytes:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise WithResult from None
        return b""

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await Allowance(None).watched(send, print)(None)

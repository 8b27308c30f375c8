"""A link of Modbus meters without wires: what each register holds, and how each unit misbehaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.control.errands import Answer, Question, poll_of
from gateway.errors import DeviceError, LinkDown

if TYPE_CHECKING:
    from collections.abc import Callable

Memory = dict[tuple[int, int], bytes]
"""(function, address) -> two bytes."""


def held(function: int, address: int, raw: bytes) -> Memory:
    """Return bytes as consecutive registers."""
    return {(function, address + i): raw[2 * i : 2 * i + 2] for i in range(len(raw) // 2)}


@dataclass
class FakeBus:
    """Implements `gateway.commissioning.bus.Bus`. units: unit id -> its registers; others are silent.

    fails: unit id -> what a read raises instead. asleep: whether nobody hears this request. asked: every question.
    """

    units: dict[int, Memory] = field(default_factory=dict)
    fails: dict[int, Callable[[], Exception]] = field(default_factory=dict)
    asked: list[Question] = field(default_factory=list)
    address: str = ""
    asleep: Callable[[], bool] = lambda: False

    async def ask(self, question: Question) -> Answer:
        poll_of(question)  # refuses what the gateway would
        self.asked.append(question)
        if question.protocol == "dlt645":
            if not self.address:
                raise silence()
            return Answer(1, bytes.fromhex(self.address)[::-1], (0,), 1.0)
        unit = question.address
        assert isinstance(unit, int)
        if unit in self.fails:
            raise self.fails[unit]()
        if unit not in self.units or self.asleep():
            raise silence()
        memory, raw = self.units[unit], b""
        for source in question.sources:
            assert not isinstance(source, str)
            function, address, count = source
            for n in range(address, address + count):
                if (function, n) not in memory:
                    raise refusal(2)
                raw += memory[function, n]
        return Answer(1, raw, (0,) * len(question.sources), 1.5)

    async def poll(self, meter: str) -> dict[str, Any]:
        raise NotImplementedError

    async def browse(self, below: str = "") -> dict[str, Any]:
        raise NotImplementedError


def silence() -> DeviceError:
    return DeviceError("no answer", reason="timeout")


def refusal(code: int) -> DeviceError:
    return DeviceError(f"exception {code}", reason="exception", raw=bytes((0x83, code)), code=code)


def garbage() -> DeviceError:
    return DeviceError("garbled", reason="garbage", raw=b"\x01\x02\x03")


def lost() -> LinkDown:
    return LinkDown("connection reset")

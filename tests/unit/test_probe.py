"""Which type a meter is: evidence ranked, ties told, and registers that are not where the profile says (R3)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from drivers.profiles import Library, load, shipped_dir
from gateway.clock import SystemClock
from gateway.commissioning.probe import candidates, diagnose, rank, verdict
from gateway.commissioning.reads import SILENT_MAX, MeterReads
from tests.unit.fake_bus import FakeBus, Memory, held

if TYPE_CHECKING:
    from pathlib import Path

    from drivers.profiles import Profile
    from gateway.commissioning.probe import Candidate, Verdict

UNIT = 3
TOY = """
schema = 1
id = "toy-meter"
maker = "Toy"
model = "Meter"
medium = "electricity"
protocol = "modbus"
confidence = "one-source"
sources = ["made up"]
[read]
function = 3
doc_offset = 40001
order = "ABCD"
type = "f32"
[probe]
address = 0
low = 45
high = 65
unit = "Hz"
[channels.frequency]
quantity = "frequency"
address = 0
unit = "Hz"
[channels.voltage_ln_l1]
quantity = "voltage_ln"
address = 2
unit = "V"
[channels.voltage_ln_l2]
quantity = "voltage_ln"
address = 4
unit = "V"
[[golden]]
name = "constructed"
constructed = true
source = "made up"
blocks = [{ function = 3, address = 0, hex = "42480000" }]
expect = { frequency = "50" }
"""
SHOWN = (50.02, 229.5, 231.25)
"""What the toy meter shows: frequency and two voltages."""


@pytest.fixture(scope="module")
def library() -> Library:
    return Library([shipped_dir()])


@pytest.fixture
def toy(tmp_path: Path) -> Profile:
    file = tmp_path / "toy-meter.toml"
    file.write_text(TOY)
    return load(file)


def floats(function: int, address: int, values: tuple[float, ...], order: str = "ABCD") -> Memory:
    found: Memory = {}
    for n, value in enumerate(values):
        big = struct.pack(">f", value)
        raw = bytes(big["ABCD".index(letter)] for letter in order)
        found |= held(function, address + 2 * n, raw)
    return found


def reads_of(memory: Memory) -> MeterReads:
    return MeterReads(FakeBus({UNIT: memory}), UNIT, SystemClock())


async def ranked(library: Library, memory: Memory) -> tuple[list[Candidate], Verdict]:
    reads = reads_of(memory)
    found, is_whole = await rank(reads, candidates(library))
    assert is_whole
    return found, verdict(found, reads)


def golden(library: Library, name: str) -> Memory:
    memory: Memory = {}
    for capture in library.get(name).golden:
        for block in capture.blocks:
            memory |= held(block.function, block.address, bytes.fromhex(block.hex))
    return memory


async def test_r03_a_manual_that_counts_from_one_is_found_out(toy: Profile) -> None:
    """Shift everything by one register: the message has the manual's number, the wire's, and what to change."""
    good, lines = await diagnose(reads_of(floats(3, 0, SHOWN)), toy)
    assert good is True
    assert "register 40001 in the manual is holding 0 on the wire" in lines[0]
    zeros = held(3, 0, bytes(2))
    good, lines = await diagnose(reads_of(zeros | floats(3, 1, SHOWN)), toy)
    assert good is False
    assert "register 40001 in the manual is holding 0 on the wire" in lines[0]
    shifted = "holding 1, order ABCD, holds 50.02 Hz, which fits, and 2 of 2 other values fit there too"
    assert shifted in lines[1]
    assert "doc_offset 40001 would have to be 40000 and every address one higher" in lines[1]
    assert "order CDAB, holds 50 Hz" in lines[2], "floats one register off look like swapped words"
    assert "more than one place fits: the digits of the display decide" in lines[3]


async def test_a_register_that_is_refused_is_said_to_be(toy: Profile) -> None:
    good, lines = await diagnose(reads_of(floats(3, 100, SHOWN)), toy)
    assert good is False
    assert "; it is refused there (exception 2); expected 45 to 65 Hz" in lines[0]


async def test_r03_one_lower_too(tmp_path: Path) -> None:
    file = tmp_path / "toy-meter.toml"
    file.write_text(
        TOY.replace("address = 4\n", "address = 14\n")
        .replace("address = 2\n", "address = 12\n")
        .replace("address = 0", "address = 10")
    )
    good, lines = await diagnose(reads_of(floats(3, 9, SHOWN)), load(file))
    assert good is False
    assert "refused there" not in lines[0], "half of a float is there"
    assert "doc_offset 40001 would have to be 40002 and every address one lower" in lines[1]


@pytest.mark.parametrize(
    ("memory", "says"),
    [
        (floats(4, 0, SHOWN), "read.function would have to be 4 instead of 3"),
        (floats(3, 0, SHOWN, "CDAB"), "read.order would have to be CDAB instead of ABCD"),
        (floats(3, 0, SHOWN, "DCBA"), "read.order would have to be DCBA instead of ABCD"),
    ],
)
async def test_r03_the_other_function_and_word_orders(toy: Profile, memory: Memory, says: str) -> None:
    good, lines = await diagnose(reads_of(memory), toy)
    assert good is False
    assert says in lines[1]
    assert "doc_offset" not in lines[1]


async def test_r03_what_fits_nowhere_is_said_plainly(toy: Profile) -> None:
    good, lines = await diagnose(reads_of(held(3, 0, bytes(20))), toy)
    assert good is False
    assert "it holds 0 Hz (00000000), not 45 to 65 Hz" in lines[0]
    assert "none fits" in lines[1]


async def test_a_frequency_alone_proves_nothing(library: Library) -> None:
    """Many types have a frequency at input register 70: they are named, none is chosen."""
    found, said = await ranked(library, held(4, 0, bytes(800)) | floats(4, 70, (50.0,)))
    assert said.outcome == "several"
    assert {"eastron-sdm120", "eastron-sdm230", "eastron-sdm630"} <= set(said.best)
    assert "cannot be told" in said.text
    assert all(one.reasons for one in found[:3])


async def test_three_voltages_leave_no_single_phase_meter_among_the_best(library: Library) -> None:
    zeros = held(4, 0, bytes(800))
    memory = zeros | floats(4, 0, (230.5, 231.5, 229.5)) | floats(4, 70, (50.0,))
    memory |= floats(4, 200, (400.5, 401.5, 399.5))
    _, said = await ranked(library, memory)
    assert "eastron-sdm630" in said.best
    assert "eastron-sdm120" not in said.best


async def test_a_register_that_names_the_model_decides(library: Library) -> None:
    """Of types that read alike, the one whose [[detect]] register holds its number is first, and the reason says so."""
    profile = library.get("huawei-dtsu666-h")
    (table,) = profile.detect
    (resolved,) = profile.resolve(table)
    assert profile.probe is not None
    (probe,) = profile.resolve(profile.probe)
    value = table.equals if table.equals is not None else table.among[0]
    memory = held(probe.source.function, probe.source.address - 200, bytes(800))
    memory |= held(resolved.source.function, resolved.source.address, value.to_bytes(2, "big"))
    memory |= floats(probe.source.function, probe.source.address, (50.0,), probe.part.order)
    found, said = await ranked(library, memory)
    assert said.best == (profile.id,)
    assert any("detect" in reason and reason.startswith("+") for reason in found[0].reasons)
    contradicted = memory | held(resolved.source.function, resolved.source.address, b"\x7f\xff")
    others, _ = await ranked(library, contradicted)
    own = next(one for one in others if one.profile == profile.id)
    assert own.score < found[0].score
    assert any(reason.startswith("- detect") for reason in own.reasons)


async def test_a_meter_of_no_known_type_is_none(library: Library) -> None:
    _, said = await ranked(library, held(3, 0, bytes(range(2, 42))))
    assert said.outcome == "none"
    assert said.best == ()


async def test_a_silent_unit_costs_a_few_requests_and_not_hundreds(library: Library) -> None:
    bus = FakeBus()
    reads = MeterReads(bus, UNIT, SystemClock())
    found, _ = await rank(reads, candidates(library))
    assert verdict(found, reads).outcome == "silent"
    assert len(bus.asked) <= 4 * SILENT_MAX


async def test_of_a_silent_unit_nothing_is_said_but_that(toy: Profile) -> None:
    reads = MeterReads(FakeBus(), UNIT, SystemClock())
    good, lines = await diagnose(reads, toy)
    assert good is None
    assert len(lines) == 1
    assert "nothing answers" in lines[0]
    assert "another meter" not in lines[0]
    found = verdict((await rank(reads, []))[0], reads)
    assert "on a line baud rate and parity too" in found.text


async def test_each_register_is_read_once(library: Library) -> None:
    bus = FakeBus({UNIT: floats(4, 0, (230.0,)) | floats(4, 70, (50.0,))})
    await rank(MeterReads(bus, UNIT, SystemClock()), candidates(library))
    sources = [question.sources for question in bus.asked]
    assert len(sources) == len(set(sources))


async def test_a_stop_ends_between_two_requests(library: Library) -> None:
    bus = FakeBus({UNIT: floats(4, 70, (50.0,))})
    reads = MeterReads(bus, UNIT, SystemClock(), stopped=lambda: len(bus.asked) >= 7)
    found, is_whole = await rank(reads, candidates(library))
    assert not is_whole
    assert len(bus.asked) == 7
    assert found, "what was found so far is kept"


async def test_a_meter_that_has_to_be_woken_is_asked_twice(toy: Profile) -> None:
    sleeps = iter((True,))
    bus = FakeBus({UNIT: floats(3, 0, SHOWN)}, asleep=lambda: next(sleeps, False))
    good, _ = await diagnose(MeterReads(bus, UNIT, SystemClock()), toy)
    assert good is True
    assert len(bus.asked) == 2

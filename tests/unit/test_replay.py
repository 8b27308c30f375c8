"""What a correction does to one frame's values and flags, and which rule stands for which time."""

from __future__ import annotations

import math
import struct
from array import array
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.errors import StorageError
from gateway.layout import Gate, Layout, Part, Slot
from gateway.model import Channel, Flag, Frame
from gateway.replay.corrector import CannotReplay, Corrector, _compare, change
from gateway.replay.rules import FILE, Rule, Rules
from gateway.sinks.line_protocol import Encoder
from tests.fakes.frames import make_site

if TYPE_CHECKING:
    from pathlib import Path

ENERGY = Channel("energy_active_import_total", "energy_active_import", "kW·h", "counter", low=0.0, high=1e6)
POWER = Channel("power_active_total", "power_active", "kW", "gauge", low=-100.0, high=100.0)
BEFORE = Layout(
    "m", 1.0, (ENERGY, POWER), (Slot((Part("u32"),)), Slot((Part("s16"),), "0.1")), sources=("3:0:2", "3:2:1")
)


def after(energy: Slot | None = None, power: Slot | None = None) -> Layout:
    return replace(BEFORE, slots=(energy or BEFORE.slots[0], power or BEFORE.slots[1]), profile="new")


def frame(energy: int, power: int, *flags: int, layout: Layout = BEFORE, time_ns: int = 10**9) -> Frame:
    raw = struct.pack(">Ih", energy, power)
    own = array("H", flags or (0, 0))
    return Frame(layout, 0, time_ns, None, raw, layout.decode(raw, own), own)


def test_values_are_decoded_anew_and_identity_stays() -> None:
    old = frame(5000, 20)
    new = Corrector(BEFORE, after(energy=Slot((Part("u32"),), "0.1"))).frame(old)
    assert list(new.values) == [500.0, 2.0]
    assert (new.raw, new.time_ns, new.epoch) == (old.raw, old.time_ns, old.epoch)
    assert change(old, new) == (True, 0)
    assert list(old.values) == [5000.0, 2.0], "the journaled frame is not touched"


def test_doubts_of_driver_and_clock_stay_those_of_checks_are_found_anew() -> None:
    kept = int(Flag.CLOCK | Flag.MAINTENANCE | Flag.STALE)
    old = frame(5000, 20, kept | Flag.ROLLBACK, kept | Flag.RANGE | Flag.JUMP)
    other = Corrector(BEFORE, after(energy=Slot((Part("u32"),), "0.1"))).frame(old)
    assert list(other.flags) == [kept, kept]
    same = Corrector(BEFORE, after()).frame(old)
    assert same.flags == old.flags, "the checks of the time knew the readings before"
    assert change(old, same) == (False, 0)
    wide = Corrector(BEFORE, after(power=Slot((Part("s16"),), "100"))).frame(old)
    assert list(wide.flags) == [kept, kept | Flag.RANGE]
    missing = frame(0, 20, int(Flag.MISSING | Flag.COMMS), 0)
    again = Corrector(BEFORE, after(energy=Slot((Part("u32"),), "0.1"))).frame(missing)
    assert list(again.flags) == list(missing.flags)
    assert math.isnan(again.values[0])


def test_a_sentinel_comes_and_goes_with_the_layout() -> None:
    marked = replace(BEFORE, slots=(Slot((Part("u32"),), sentinels=("00001388",)), BEFORE.slots[1]))
    absent = frame(5000, 20, layout=marked)
    assert absent.flags[0] == Flag.SENTINEL
    back = Corrector(marked, after()).frame(absent)
    assert (back.values[0], back.flags[0]) == (5000.0, 0)
    gone = Corrector(BEFORE, replace(marked, profile="new")).frame(frame(5000, 20))
    assert gone.flags[0] == Flag.SENTINEL
    assert change(frame(5000, 20), gone) == (True, 1)


def test_a_gate_that_is_corrected_opens() -> None:
    shut = Slot((Part("u32"),), gate=Gate(1, 0xFFFF, 1, int(Flag.DEVICE)))
    layout = replace(BEFORE, slots=(shut, Slot((Part("u16"),))))
    old = frame(5000, 7, layout=layout)
    assert old.flags[0] == Flag.DEVICE
    new = Corrector(
        layout, replace(layout, slots=(replace(shut, gate=Gate(1, 0xFFFF, 7, 4)), layout.slots[1]))
    ).frame(old)
    assert (new.values[0], new.flags[0]) == (5000.0, 0)


def test_a_counter_that_falls_is_doubted_along_the_way() -> None:
    corrector = Corrector(BEFORE, after(energy=Slot((Part("u32"),), "0.1")))
    flags = [
        corrector.frame(frame(n, 0, time_ns=t * 10**9)).flags[0] for t, n in enumerate((50, 60, 40, 70), 1)
    ]
    assert flags == [0, 0, Flag.ROLLBACK, 0]


def test_other_places_sizes_and_ratios_are_refused() -> None:
    _compare(BEFORE, after(), same_addresses=False)
    for wrong, said in (
        (replace(BEFORE, sources=("3:0:2", "4:2:1")), "read at 3:2:1"),
        (replace(BEFORE, slots=(Slot((Part("u16"),)), BEFORE.slots[1])), "4 bytes"),
        (replace(BEFORE, ratios={"ct": "40"}), "ct was another one"),
    ):
        with pytest.raises(CannotReplay, match=said):
            _compare(BEFORE, wrong, same_addresses=True)
    older = replace(BEFORE, sources=())
    with pytest.raises(CannotReplay, match="--same-addresses"):
        _compare(older, after(), same_addresses=False)
    _compare(older, after(), same_addresses=True)
    assert "sources" not in older.to_dict()
    assert Layout.from_dict(BEFORE.to_dict()).digest == BEFORE.digest != older.digest


def test_a_revised_line_says_every_flag() -> None:
    encoder = Encoder(make_site(meters=1, channels=1))
    line = encoder.revised(frame(5000, 20, 0, int(Flag.STALE)), 3)
    assert line is not None
    fields = line.split(b" ")[1].split(b",")
    assert fields[:2] == [b"rev=3i", b"flag=0i"]
    assert b"flag_energy_active_import_total=0i" in fields
    assert b"flag_power_active_total=8i" in fields
    normal = encoder.lines([frame(5000, 20)])[0]
    assert normal is not None
    assert normal.split(b" ")[0::2] == line.split(b" ")[0::2], "the same series and time"


def test_rules_rise_and_last(tmp_path: Path) -> None:
    rules = Rules(tmp_path)
    assert rules.next_rev("m") == 1
    rules.add(Rule("m", 10, 20, "a", "b", 1))
    rules.add(Rule("other", 10, 20, "a", "b", 7))
    rules = Rules(tmp_path)
    assert rules.next_rev("m") == 2
    assert rules.known("m", 12, 18, "a", "b") == Rule("m", 10, 20, "a", "b", 1)
    assert rules.known("m", 12, 21, "a", "b") is None, "only a part of it"
    assert rules.known("m", 12, 18, "a", "c") is None
    assert rules.newest("m", "a", 20, 30) is None
    rules.add(Rule("m", 15, 16, "a", "c", 2))
    assert rules.known("m", 12, 18, "a", "b") is None, "another one lies in between"
    (tmp_path / FILE).write_text("{")
    with pytest.raises(StorageError, match="replays"):
        Rules(tmp_path).next_rev("m")

"""Lines of docs/specs/influx-schema.md, byte for byte."""

from __future__ import annotations

import math

import pytest

from gateway.escaping import escape
from gateway.model import Flag, MeterInfo
from gateway.sinks.line_protocol import Encoder
from tests.fakes.frames import FakeDirectory, make_frame, make_layout

LAYOUT = make_layout("feeder-1", ("voltage_ln_l1", "energy_active_import_total", "current_l1"))
SITE = FakeDirectory([MeterInfo("feeder-1", "1#", "hall-a", "p", "electricity")], [LAYOUT])
HEAD = b"meter,gateway=plant-1,meter=feeder-1,energy_kind=electricity"
MS = 1795316400012


def line(values: list[float], flags: list[int] | None = None, epoch: int = 0) -> bytes | None:
    frame = make_frame(LAYOUT, values, flags=flags, epoch=epoch, time_ns=MS * 10**6 + 999_999)
    (text,) = Encoder(SITE).lines([frame])
    return text


def test_a_good_frame() -> None:
    assert line([230.1, 1234.5, 12.0]) == (
        HEAD + b" voltage_ln_l1=230.1,energy_active_import_total=1234.5,current_l1=12.0 1795316400012"
    )


def test_the_example_of_the_specification() -> None:
    assert line([230.1, 1234.5, math.nan], [0, 0, Flag.RANGE], epoch=2) == (
        HEAD
        + b",epoch=2 voltage_ln_l1=230.1,energy_active_import_total=1234.5,flag_current_l1=16i 1795316400012"
    )


def test_a_flagged_value_is_kept_beside_its_flag() -> None:
    text = line([230.1, 1234.5, 7.25], [0, Flag.ROLLBACK | Flag.CLOCK, 0])
    assert text is not None
    assert b"energy_active_import_total=1234.5,flag_energy_active_import_total=544i,current_l1=7.25" in text


def test_only_an_epoch_keeps_every_field() -> None:
    assert line([1.0, 2.0, 3.0], epoch=1) == (
        HEAD + b",epoch=1 voltage_ln_l1=1.0,energy_active_import_total=2.0,current_l1=3.0 1795316400012"
    )


def test_absent_is_left_out_and_nothing_at_all_is_no_line() -> None:
    assert line([math.nan, 2.0, math.nan]) == HEAD + b" energy_active_import_total=2.0 1795316400012"
    assert line([math.nan] * 3) is None


def test_flags_without_a_value_are_a_line() -> None:
    text = line([math.nan] * 3, [Flag.MISSING | Flag.COMMS] * 3)
    assert text is not None
    assert b" flag=3i " in text


def test_flags_that_all_channels_share_are_written_once() -> None:
    text = line([230.1, 1234.5, 7.25], [Flag.CLOCK] * 3)
    assert text is not None
    fields = text.split(b" ")[1]
    assert fields == b"voltage_ln_l1=230.1,energy_active_import_total=1234.5,current_l1=7.25,flag=512i"


@pytest.mark.parametrize("value", [0.0, -0.0, 1e16, 1e-7, 1e300, 5e-324, -12.5, float(2**53)])
def test_always_a_float_that_reads_back_the_same(value: float) -> None:
    text = line([value, 1.0, 1.0])
    assert text is not None
    digits = text.split(b"voltage_ln_l1=")[1].split(b",")[0]
    assert math.copysign(1, float(digits)) == math.copysign(1, value)
    assert float(digits) == value
    assert not digits.endswith(b"i")
    assert b"." in digits or b"e" in digits


def test_infinity_is_not_written() -> None:
    assert line([math.inf, 2.0, -math.inf]) == HEAD + b" energy_active_import_total=2.0 1795316400012"


def test_a_layout_that_names_no_energy_kind_has_no_such_tag() -> None:
    frame = make_frame(make_layout("old", ("power_active",), energy_kind=""), [1.5], time_ns=MS * 10**6)
    assert Encoder(SITE, "m 1").lines([frame]) == [
        rb"m\ 1,gateway=plant-1,meter=old power_active=1.5 1795316400012"
    ]


def test_a_line_follows_from_the_frame_alone() -> None:
    """A meter moved, renamed, re-declared or taken out during an outage: what waits is still the same series."""
    moved = FakeDirectory([MeterInfo("feeder-1", "2#", "hall-b", "q", "steam")], [])
    frame = make_frame(LAYOUT, [1.0, 2.0, 3.0], time_ns=MS * 10**6)
    line_ = HEAD + b" voltage_ln_l1=1.0,energy_active_import_total=2.0,current_l1=3.0 1795316400012"
    for site in (SITE, moved, FakeDirectory([], [])):
        assert Encoder(site).lines([frame]) == [line_]


@pytest.mark.parametrize("text", ["", "a\nb", "a\\", "a\\b", "\x00", "tab\there", "\x7f"])
def test_what_line_protocol_cannot_say_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot be written in line protocol"):
        escape(text)

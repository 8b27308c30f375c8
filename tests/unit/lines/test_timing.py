"""Characters and silence against the figures of the specification."""

from __future__ import annotations

import pytest

from drivers.lines.timing import Timing


@pytest.mark.parametrize(
    ("parity", "stop", "bits"), [("E", 1, 11), ("O", 1, 11), ("N", 2, 11), ("N", 1, 10), ("E", 2, 12)]
)
def test_a_character_has_its_bits(parity: str, stop: int, bits: int) -> None:
    assert Timing(9600, parity, stop).character_s == pytest.approx(bits / 9600)


@pytest.mark.parametrize(
    ("baud", "silence_ms"), [(2400, 16.04), (9600, 4.01), (19_200, 2.005), (38_400, 1.75), (115_200, 1.75)]
)
def test_silence_is_three_and_a_half_characters_and_fixed_above_19200(baud: int, silence_ms: float) -> None:
    assert Timing(baud).silence_s * 1000 == pytest.approx(silence_ms, abs=0.005)


def test_the_wire_time_of_a_frame() -> None:
    assert Timing(9600).wire_s(8) * 1000 == pytest.approx(9.167, abs=0.001)

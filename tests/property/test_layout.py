"""The two ways out of raw bytes agree, whatever the bytes: float64 columns and exact decimals."""

from __future__ import annotations

import math
from array import array
from decimal import Decimal
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from gateway import wire
from gateway.layout import Layout, Part, Slot
from gateway.model import Channel, Flag

if TYPE_CHECKING:
    from collections.abc import Callable

TYPES = sorted(set(wire.TYPES) - {"ua"})
SCALES = ["1", "0.1", "0.001", "1000", "0.0036", "40", "-1", "0.000277777777777777777777777777777777778"]
parts = st.builds(
    Part, st.sampled_from(TYPES), st.sampled_from(sorted(wire.ORDERS)), st.sampled_from(["1", "0.001"])
)
single = st.builds(Part, st.sampled_from(TYPES), st.sampled_from(sorted(wire.ORDERS)))
slots = st.builds(
    Slot,
    st.one_of(st.tuples(single), st.tuples(parts, parts)),
    st.sampled_from(SCALES),
    st.sampled_from(["0", "-273.15"]),
)


@st.composite
def samples(draw: Callable[..., object]) -> tuple[Layout, bytes]:
    chosen = draw(st.lists(slots, min_size=1, max_size=6))
    assert isinstance(chosen, list)
    channels = tuple(Channel(f"c{i}", "code", "1", "gauge") for i in range(len(chosen)))
    layout = Layout("meter-1", 1.0, channels, tuple(chosen))
    raw = draw(st.binary(min_size=layout.size, max_size=layout.size))
    assert isinstance(raw, bytes)
    return layout, raw


@given(samples())
def test_decode_and_exact_agree(sample: tuple[Layout, bytes]) -> None:
    layout, raw = sample
    flags = array("H", layout.no_flags)
    values = layout.decode(raw, flags)
    for i, slot in enumerate(layout.slots):
        exact = layout.exact(raw, i)
        if exact is None:
            assert flags[i] == Flag.SENTINEL
            assert math.isnan(values[i])
        elif flags[i]:  # beyond float64: the exact way still knows it
            assert abs(exact) > Decimal("1e290")
        else:
            assert math.isclose(values[i], float(exact), rel_tol=1e-6, abs_tol=_noise(layout, raw, i)), (
                slot,
                exact,
            )


def _noise(layout: Layout, raw: bytes, i: int) -> float:
    """Return what float64 and the shortest float32 may lose where parts or the offset cancel each other."""
    slot, position, size = layout.slots[i], layout.starts[i], abs(float(layout.slots[i].offset))
    for part in slot.parts:
        place = wire.order_of(part.type, part.order)
        number = wire.exact(part.type, bytes(raw[position + k] for k in place))
        size += abs(float(number or 0) * float(part.factor) * float(slot.coefficient))
        position += wire.TYPES[part.type].size
    return 1e-6 * size + 1e-44


@given(samples())
def test_a_journaled_layout_decodes_the_same(sample: tuple[Layout, bytes]) -> None:
    layout, raw = sample
    again = Layout.from_dict(layout.to_dict())
    flags, flags_again = array("H", layout.no_flags), array("H", layout.no_flags)
    assert layout.decode(raw, flags).tobytes() == again.decode(raw, flags_again).tobytes()
    assert flags == flags_again


@given(st.binary(min_size=4, max_size=4))
def test_the_shortest_decimal_is_the_same_float(big: bytes) -> None:
    import struct

    number = wire.exact("f32", big)
    if number is not None:
        assert struct.pack(">f", float(number)) == big or number == 0
        assert len(number.as_tuple().digits) <= 9

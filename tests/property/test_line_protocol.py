"""Lines read back by a small parser of our own, which knows only InfluxDB's reference of the syntax."""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from gateway.sinks.line_protocol import Encoder
from tests.fakes.frames import FakeDirectory, make_frame, make_layout

# Everything line protocol can say in a name: no control characters, no backslash.
names = st.text(
    st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\\"), min_size=1, max_size=12
)
doubles = st.one_of(
    st.floats(allow_nan=True, allow_infinity=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.integers(-(2**53), 2**53).map(float),
)


class Parsed(NamedTuple):
    measurement: str
    tags: dict[str, str]
    fields: dict[str, float | int]
    time_ms: int


def _split(text: str, separator: str) -> list[str]:
    """Split at separators that no backslash stands before, and keep the escapes."""
    parts = [""]
    escaped = False
    for char in text:
        if char == separator and not escaped:
            parts.append("")
        else:
            parts[-1] += char
        escaped = char == "\\" and not escaped
    return parts


def _plain(text: str) -> str:
    for char in ",= ":
        text = text.replace("\\" + char, char)
    return text


def parse(line: bytes) -> Parsed:
    """Return what a server would understand. Raises ValueError or TypeError on anything else."""
    text = line.decode()
    assert "\n" not in text
    key, fields, time_ms = _split(text, " ")
    measurement, *tags = _split(key, ",")
    named = [_split(tag, "=") for tag in tags]
    assert all(len(pair) == 2 and pair[1] for pair in named)
    values: dict[str, float | int] = {}
    for pair in _split(fields, ","):
        name, digits = _split(pair, "=")
        assert _plain(name) not in values
        values[_plain(name)] = int(digits[:-1]) if digits.endswith("i") else float(digits)
    return Parsed(_plain(measurement), {_plain(k): _plain(v) for k, v in named}, values, int(time_ms))


@given(st.data())
def test_what_is_written_reads_back(data: st.DataObject) -> None:
    meter, gateway, kind, measurement = (data.draw(names) for _ in range(4))
    keys = tuple(
        data.draw(
            st.lists(names.filter(lambda k: not k.startswith("flag")), min_size=1, max_size=6, unique=True)
        )
    )
    values = data.draw(st.lists(doubles, min_size=len(keys), max_size=len(keys)))
    flags = data.draw(
        st.one_of(
            st.just([0] * len(keys)), st.lists(st.integers(0, 65535), min_size=len(keys), max_size=len(keys))
        )
    )
    epoch = data.draw(st.sampled_from([0, 0, 1, 2**31]))
    time_ms = data.draw(st.integers(0, 2**43))
    layout = make_layout(meter, keys, kind)
    site = FakeDirectory([], [layout], gateway=gateway)
    frame = make_frame(layout, values, flags=flags, epoch=epoch, time_ns=time_ms * 10**6)

    (line,) = Encoder(site, measurement).lines([frame])

    wanted: dict[str, float | int] = {k: v for k, v in zip(keys, values, strict=True) if not math.isnan(v)}
    if len(set(flags)) == 1:
        wanted |= {"flag": flags[0]} if flags[0] else {}
    else:
        wanted |= {f"flag_{k}": f for k, f in zip(keys, flags, strict=True) if f}
    if line is None:
        assert not wanted
        return
    parsed = parse(line)
    tags = {"gateway": gateway, "meter": meter, "energy_kind": kind}
    assert parsed == (measurement, tags | ({"epoch": str(epoch)} if epoch else {}), wanted, time_ms)
    for key, value in parsed.fields.items():
        assert isinstance(value, int if key == "flag" or key in {f"flag_{k}" for k in keys} else float)
        if isinstance(value, float):
            assert struct.pack(">d", value) == struct.pack(">d", wanted[key])


@given(st.lists(st.sampled_from([0, 1, 2]), max_size=8))
def test_a_frame_encodes_the_same_alone_and_among_others(kinds: list[int]) -> None:
    layout = make_layout("m-1", ("a", "b"))
    site = FakeDirectory([], [layout])
    frames = [make_frame(layout, [1.5, math.nan if kind == 1 else 2.0], flags=[0, kind]) for kind in kinds]
    together = Encoder(site).lines(frames)
    assert together == [Encoder(site).lines([frame])[0] for frame in frames]

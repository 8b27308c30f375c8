"""What the core costs a frame of 30 channels: .venv/bin/python -m tests.bench.bench_core."""

from __future__ import annotations

import timeit
from array import array
from typing import TYPE_CHECKING

from gateway.checks import Checker
from gateway.journal.groups import OpenGroup
from gateway.journal.records import pack, unpack
from gateway.model import Frame
from simulators.fakes import fake_layout, show

if TYPE_CHECKING:
    from collections.abc import Callable

START_NS = 1_700_000_000_000_000_000
FRAMES = 500


def cost_us(function: Callable[[], object], frames: int = 1) -> float:
    """Return microseconds a frame, the best of several runs."""
    timer = timeit.Timer(function)
    number = max(1, timer.autorange()[0] // 4)
    return min(timer.repeat(5, number)) / number / frames * 1e6


def main() -> None:
    """Print one line a function."""
    layout = fake_layout("m-001", 30, 1.0)
    raw, _ = show(layout, 5.0)
    clean = layout.no_flags[:]
    values = layout.decode(raw, clean)
    clock = array("H", [512]) * 30
    one = array("H", [16, *[0] * 29])
    checker = Checker(layout)
    calm = array("d", [1.0]) * 30
    ids = {layout: 1}

    def frames(flags: array[int]) -> list[Frame]:
        return [Frame(layout, 0, START_NS + n, None, raw, values, flags) for n in range(FRAMES)]

    def fill() -> None:
        group = OpenGroup()
        for frame in plain:
            group.add_frame(frame)

    plain = frames(clean)
    body = pack(plain, ids.__getitem__)
    costs = {
        "decode, clean": cost_us(lambda: layout.decode(raw, layout.no_flags[:])),
        "decode, one flag": cost_us(lambda: layout.decode(raw, one)),
        "check, clean": cost_us(lambda: checker.check(START_NS, calm, clean)),
        "append": cost_us(fill, FRAMES),
        "pack, clean": cost_us(lambda: pack(plain, ids.__getitem__), FRAMES),
        "pack, clock flag on all": cost_us(lambda: pack(frames(clock), ids.__getitem__), FRAMES),
        "unpack": cost_us(lambda: list(unpack(body, {1: layout}.__getitem__)), FRAMES),
    }
    for name, us in costs.items():
        print(f"{name:<28}{us:8.2f} µs a frame of 30")


if __name__ == "__main__":
    main()

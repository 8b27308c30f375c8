"""Random histories of a small site: what its journal would hold, for the naive intervals and the engine."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

from gateway.model import NS, Flag
from tests.property.interval_model import Idle, Record
from tests.unit.engine_rig import IN, OUT, POWER, T0, event, frame, layout, plan, start, swap

if TYPE_CHECKING:
    from gateway.layout import Layout
    from gateway.model import Event

PERIODS = {"m-1": 10.0, "m-2": 60.0, "m-3": 30.0}
SETS = ((IN, POWER, OUT), (IN, POWER, OUT), (IN,), (POWER, OUT), ())
FLAGS = (
    Flag.COMMS | Flag.MISSING,
    Flag.STALE,
    Flag.CLOCK,
    Flag.MAINTENANCE | Flag.COMMS,
    Flag.JUMP,
    Flag.DEVICE,
)


class History:
    """A random history: meters that answer in time, late, twice or not at all, doubts, swaps, steps and stops."""

    def __init__(self, seed: int, length: int, *, is_quiet: bool = False) -> None:
        """is_quiet: nobody swaps a meter and no clock steps."""
        self.rng, self.is_quiet = random.Random(seed), is_quiet
        self.now, self.epoch = 0.0, 0
        self.scale = "0.01"
        self.reported: dict[str, tuple[str, ...] | None] = dict.fromkeys(
            PERIODS, SETS[0]
        )  # None: it has left
        self.layouts = self._layouts()
        self.last = dict.fromkeys(PERIODS, -1e9)
        self.fresh = dict.fromkeys(PERIODS, -1e9)  # first due time of the plan in force
        self.taken = dict.fromkeys(PERIODS, 0)
        self.swapped: list[float] = []
        self.steps: list[Record | Idle] = [*self._begin(0.0)]
        while len(self.steps) < length:
            self._step()

    def _layouts(self) -> list[Layout]:
        """Return what the meters are read by; one that has left keeps its place, so that it is chosen and does not answer."""
        scales = {"m-1": self.scale}
        return [
            layout(
                meter, period_s, coefficient=scales.get(meter, "0.01"), reported=self.reported[meter] or ()
            )
            for meter, period_s in PERIODS.items()
        ]

    def _begin(self, at: float) -> list[Record]:
        return [*start(at), *self._plans(at, list(PERIODS))]

    def _plans(self, at: float, meters: list[str]) -> list[Event]:
        of = [(meter, self.reported[meter]) for meter in meters]
        return [plan(at, meter, PERIODS[meter], reported=keys) for meter, keys in of if keys is not None]

    def _edit(self, meter: str, choice: list[Any]) -> None:
        """Let another set of channels be reported of a meter from now on."""
        period_s = PERIODS[meter]
        self.reported[meter] = self.rng.choice(choice)
        self.layouts, self.fresh[meter] = self._layouts(), math.ceil(self.now / period_s) * period_s

    def _step(self) -> None:
        rng = self.rng
        self.now += rng.choice((0.4, 3.0, 9.0, 10.0, 14.0, 30.0))
        chance = rng.random()
        if chance < 0.85:
            self._answer(rng.choice(self.layouts))
        elif chance < 0.88:
            self.steps.append(Idle(T0 + round(self.now * NS)))
        elif chance < 0.91:
            self.steps.append(self._trouble())
        elif chance < 0.93:
            self.steps.append(event(self.now, "stop"))
            self.now += rng.choice((5.0, 400.0, 1700.0))
            if not self.is_quiet and rng.random() < 0.5:
                for meter in PERIODS:
                    self._edit(meter, [*SETS, None])
            self.steps += self._begin(self.now)
        elif chance < 0.95 and not self.is_quiet:
            step_s = rng.choice((-700.0, -100.0, -4.0, 8.0, 900.0))
            self.now += step_s
            self.epoch += 1
            self.last, self.fresh = dict.fromkeys(PERIODS, -1e9), dict.fromkeys(PERIODS, -1e9)
            self.steps.append(event(self.now, "clock_step", step_s=step_s, epoch=self.epoch))
        elif not self.is_quiet:
            self._swap()

    def _trouble(self) -> Event:
        """Return that a meter answers no more, goes to be verified, or is back."""
        kind = self.rng.choice(("meter_off", "meter_off", "maintenance_begin", "maintenance_end"))
        if kind == "meter_off":
            return event(self.now, kind, "m-1", reason="timeout")
        until_ns = T0 + round((self.now + self.rng.choice((50, 500, 5000))) * NS)
        return event(self.now, kind, "m-1", until_ns=until_ns, removed=True)

    def _swap(self) -> None:
        rng = self.rng
        if rng.random() < 0.3:  # another ratio, and nobody says so
            self.scale = {"0.01": "0.02", "0.02": "0.01"}[self.scale]
            self.layouts = self._layouts()
            return
        if rng.random() < 0.3:  # a layout comes into force
            meter = rng.choice(
                [meter for meter, keys in self.reported.items() if keys is not None] or ["m-1"]
            )
            self._edit(meter, list(SETS))
            self.steps += self._plans(self.now, [meter])
            return
        if self.swapped and rng.random() < 0.3:
            at = self.swapped.pop()
            undoes = {"serial": "2", "effective_ns": T0 + round(at * NS)}
            self.steps.append(swap(self.now, at, None, None, undoes=undoes))
            return
        at = max(self.now - rng.choice((0.0, 20.0, 200.0, 900.0)), 1.0, *(a + 1 for a in self.swapped))
        if at <= self.now:
            self.swapped.append(at)
            readings = (None, "0", "5.00", "20.5")
            self.steps.append(swap(self.now, at, rng.choice(readings), rng.choice(readings)))

    def _answer(self, of: Any) -> None:
        rng, meter = self.rng, of.meter
        if self.fresh[meter] > self.now:
            return
        at = self.now - rng.choice((0.0, 0.0, 0.0, 0.0, 1.0, 25.0, 90.0, 700.0))
        at = round(max(at, self.fresh[meter], self.last[meter] + rng.choice((0.001, 1.0))), 3)
        if at > self.now + 5 or self.reported[meter] is None:
            return
        self.last[meter] = at
        self.taken[meter] += rng.choice((0, 1, 25, 300))
        if not self.is_quiet and rng.random() < 0.02:
            self.taken[meter] = rng.choice((0, 999_990))
        flags = [int(rng.choice(FLAGS)) if rng.random() < 0.12 else 0 for _ in range(4)]
        registers = self.taken[meter], rng.randrange(-900, 900), 2 * self.taken[meter]
        self.steps.append(
            frame(of, at, registers[0], registers[2], registers[1], epoch=self.epoch, flags=(flags[0], flags[1], flags[2], flags[3]))
        )  # fmt: skip

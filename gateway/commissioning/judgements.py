"""What speaks for a meter being the right one, wired the right way and read rightly: one judgement a step. Pure.

A step that cannot be judged says why; it is no pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from gateway.model import ABSENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.display import Shown

PASS: Final = "pass"  # noqa: S105 - a verdict
FAIL: Final = "fail"
OPEN: Final = "not judged"
Result = Literal["pass", "fail", "not judged"]
Detail = dict[str, str | int | float | bool]
PHASES = ("l1", "l2", "l3")
CLOCK_S = 60.0
"""Most a meter's own clock may be off. Source: technical rules for on-line monitoring of enterprises' energy use, edge
device part: a day's boundary holds to ±1 min; the meter's frozen totals follow its clock.
"""
HOUR_S = Decimal(3600)


@dataclass(frozen=True, slots=True)
class Step:
    """One judgement. text: what was found, in words; detail: the figures behind it."""

    name: str
    result: Result
    text: str
    detail: Mapping[str, str | int | float | bool] = field(default_factory=dict)


class Value(NamedTuple):
    """One channel of one extra read; number None: no value."""

    number: Decimal | None
    unit: str
    kind: str
    flags: int


class Reading(NamedTuple):
    """One extra read of all a meter is read for. at_s: monotonic, when it was complete."""

    at_s: float
    values: Mapping[str, Value]

    def number(self, key: str) -> Decimal | None:
        """Return a channel's value, None where there is none."""
        value = self.values.get(key)
        return None if value is None or value.flags & ABSENT else value.number


def judge_ratio(name: str, in_force: Decimal, where: str, plate: Decimal | None) -> Step:
    """Return whether a ratio is that of the plates. where: "meter" or "site file"."""
    detail: Detail = {"ratio": name, "in_force": f"{in_force:f}", "from": where}
    step = f"ratio {name}"
    if plate is None:
        text = f"{in_force:f} is in force (from the {where}); nobody read the plate: give it with --plate {name}=…"
        return Step(step, OPEN, text, detail)
    detail["plate"] = f"{plate:f}"
    if plate == in_force:
        return Step(step, PASS, f"{in_force:f}, as on the plate (from the {where})", detail)
    hint = (
        f"set it in the meter, or ratios.{name} in the site file"
        if where == "meter"
        else f"correct ratios.{name}"
    )
    return Step(
        step, FAIL, f"the plate says {plate:f}, {in_force:f} is in force (from the {where}): {hint}", detail
    )


def judge_direction(readings: Sequence[Reading], expect: Literal["import", "export"]) -> Step:
    """Return whether energy (or the medium) flows the way it should, by signs and by what the counters do."""
    last = readings[-1]
    phases = {p: n for p in PHASES if (n := last.number(f"power_active_{p}")) is not None}
    total = last.number("power_active_total")
    if total is None and phases:
        total = sum(phases.values(), Decimal(0))
    moved = _moved(readings)
    detail: Detail = {f"rise.{key}": f"{rise:f}" for key, rise in moved.items()}
    if total is not None:
        detail["power_active_total"] = f"{total:f}"
        return _of_power(total, phases, moved, expect, detail)
    flow = next(
        (k for k in last.values if k.startswith(("flow_", "power_thermal")) and last.number(k) is not None),
        "",
    )
    if flow:
        number = last.number(flow) or Decimal(0)
        detail[flow] = f"{number:f}"
        unit = last.values[flow].unit
        if number < 0:
            return Step(
                "direction", FAIL, f"{flow} is {number:f} {unit}: the meter sits the wrong way round", detail
            )
        if number > 0:
            return Step("direction", PASS, f"{flow} is {number:f} {unit}, forward", detail)
    if moved:
        return Step("direction", PASS, f"{', '.join(moved)} rose between the reads", detail)
    if flow:
        return Step("direction", OPEN, "nothing flows: look again under load", detail)
    why = "no power or flow among the channels it is read for, and no counter rose between the reads"
    return Step("direction", OPEN, why, detail)


def _of_power(
    total: Decimal,
    phases: Mapping[str, Decimal],
    moved: Mapping[str, Decimal],
    expect: Literal["import", "export"],
    detail: Mapping[str, str | int | float | bool],
) -> Step:
    sign = 1 if expect == "import" else -1
    wrong = {p: n for p, n in phases.items() if n * sign < 0}
    if wrong and (total * sign > 0 or len(wrong) < len(phases)):
        named = ", ".join(f"{p.upper()} {n:f} kW" for p, n in wrong.items())
        text = f"{named} against the others: that phase's CT is reversed (反接), or voltages and currents are not of one phase"
        return Step("direction", FAIL, text, detail)
    if total * sign < 0:
        other = "export" if expect == "import" else "import"
        text = f"power is {total:f} kW, {expect} was expected: CTs reversed, supply and load side swapped, or it is {other} now"
        return Step("direction", FAIL, f"{text} (--expect {other})", detail)
    against = "export" if expect == "import" else "import"
    rose = [key for key in moved if key.startswith(f"energy_active_{against}")]
    if rose:
        return Step("direction", FAIL, f"{rose[0]} rose while {expect} was expected", detail)
    if total == 0:
        return Step("direction", OPEN, "power is 0: look again under load", detail)
    counted = ", ".join(key for key in moved if key.startswith("energy_active"))
    return Step("direction", PASS, f"{total:f} kW" + (f"; {counted} rose" if counted else ""), detail)


def _moved(readings: Sequence[Reading]) -> dict[str, Decimal]:
    """Return counter -> by how much it rose from the first to the last read, where it did."""
    found = {}
    for key, value in readings[-1].values.items():
        before, after = readings[0].number(key), readings[-1].number(key)
        if value.kind == "counter" and before is not None and after is not None and after > before:
            found[key] = after - before
    return found


def judge_clock(synchronised: bool, offset_s: float | None, why_no_offset: str) -> Step:
    """Return whether times can be trusted. offset_s: the meter's own clock against the gateway's, None: not known."""
    detail: Detail = {"gateway_synchronised": synchronised}
    if not synchronised:
        text = (
            "the gateway's clock is not synchronised: readings carry CLOCK until it is (chrony, timedatectl)"
        )
        if offset_s is not None:
            detail["meter_offset_s"] = offset_s
            text += f"; the meter's own is {offset_s:+g} s off it"
        return Step("clock", FAIL, text, detail)
    if offset_s is None:
        return Step("clock", PASS, f"the gateway's clock is synchronised; {why_no_offset}", detail)
    detail["meter_offset_s"] = offset_s
    text = f"the gateway's clock is synchronised; the meter's own is {offset_s:+g} s off"
    if abs(offset_s) > CLOCK_S:
        return Step(
            "clock", FAIL, f"{text}: set it, or its frozen totals (日冻结) belong to another day", detail
        )
    return Step("clock", PASS, text, detail)


class Ratio(NamedTuple):
    """What the gateway multiplies a channel with. factor: the product of its ratios.

    one_count: what one count of the meter is worth after that, in the channel's unit; 0 if it does not count in steps.
    left_out: whether the display leaves the ratio out (二次侧); None: nobody said.
    """

    factor: Decimal = Decimal(1)
    one_count: Decimal = Decimal(0)
    left_out: bool | None = None


def judge_display(
    key: str,
    seen: Shown,
    reading: Reading,
    readings: Sequence[Reading],
    elapsed_s: float,
    ratio: Ratio = Ratio(),  # noqa: B008 - immutable
) -> Step:
    """Return whether display and gateway agree (抄表比对).

    Tolerance: one last digit of the display, times the ratio where the display leaves it out, or one count of the meter
    times the ratio if that is more; plus what may have changed in between: for a counter power (or its own rise) x
    elapsed time, for anything else how far it moved from read to read.
    """
    step = f"display {key}"
    value = reading.values.get(key)
    number = reading.number(key)
    if value is None:
        return Step(
            step, OPEN, "the meter is not read for this channel: add it to `channels` of the site file"
        )
    if number is None:
        return Step(
            step,
            FAIL,
            f"the display shows {seen.value:f} {value.unit}, the gateway has no value",
            {"flags": value.flags},
        )
    lapse = _lapse(key, [*readings, reading], elapsed_s)
    times = ratio.factor if ratio.left_out else Decimal(1)
    detail: Detail = {
        "display": f"{seen.value:f}",
        "gateway": f"{number:f}",
        "difference": f"{number - seen.value * times:f}",
        "last_digit": f"{max(seen.digit * times, ratio.one_count):f}",
        "lapse": f"{lapse:.6f}",
        "elapsed_s": round(elapsed_s, 3),
        "unit": value.unit,
    }
    if times != 1:
        detail["ratio"] = f"{times:f}"
    agrees, said = _agreement(seen, number, value.unit, lapse, times, ratio.one_count)
    if agrees:
        return Step(step, PASS, said, detail)
    if ratio.left_out is None and leaves_out_ratio(key, seen, reading, readings, elapsed_s, ratio):
        _, with_it = _agreement(seen, number, value.unit, lapse, ratio.factor, ratio.one_count)
        text = (
            f"{with_it}: right if the display leaves the ratio out (二次侧; then type {seen.value:f}x{ratio.factor:f}), "
            "counted twice if it includes it"
        )
        return Step(step, OPEN, text, detail | {"ratio": f"{ratio.factor:f}"})
    return Step(step, FAIL, said + _guess(seen.value * times, number), detail)


def leaves_out_ratio(
    key: str, seen: Shown, reading: Reading, readings: Sequence[Reading], elapsed_s: float, ratio: Ratio
) -> bool:
    """Return whether display and gateway agree only if the display leaves the ratio out."""
    number = reading.number(key)
    if ratio.factor == 1 or number is None:
        return False
    lapse = _lapse(key, [*readings, reading], elapsed_s)
    found = [_agreement(seen, number, "", lapse, times, ratio.one_count)[0] for times in (1, ratio.factor)]
    return found == [False, True]


def _agreement(
    seen: Shown, number: Decimal, unit: str, lapse: Decimal, times: Decimal | int, count: Decimal
) -> tuple[bool, str]:
    """Return whether display times ratio and gateway agree, and the figures in words."""
    display = seen.value * times
    tolerance = max(seen.digit * times, count) + lapse
    difference = number - display
    shown = f"{seen.value:f}" if times == 1 else f"{seen.value:f} x {times:f} = {display:f}"
    said = f"display {shown}, gateway {number:f} {unit}, difference {difference:f}, tolerance {tolerance:.6g}"
    return abs(difference) <= tolerance, said


def _lapse(key: str, readings: Sequence[Reading], elapsed_s: float) -> Decimal:
    """Return how far a channel may have moved in the elapsed time."""
    elapsed = Decimal(repr(round(elapsed_s, 3)))
    numbers = [(reading.at_s, n) for reading in readings if (n := reading.number(key)) is not None]
    if readings[-1].values[key].kind != "counter":
        found = [n for _, n in numbers]
        return max(found) - min(found)
    (first_s, first), (last_s, last) = numbers[0], numbers[-1]
    span = Decimal(repr(round(last_s - first_s, 3)))
    slope = max(last - first, Decimal(0)) / span if span > 0 else Decimal(0)
    return max(slope, _rate(key, readings)) * elapsed


def _rate(key: str, readings: Sequence[Reading]) -> Decimal:
    """Return the greatest power behind an active-energy counter in any read, in its unit per second; 0 for others."""
    if not key.startswith("energy_active"):
        return Decimal(0)
    powers = []
    for reading in readings:
        total = reading.number("power_active_total")
        phases = [reading.number(f"power_active_{p}") or Decimal(0) for p in PHASES]
        powers.append(abs(total) if total is not None else sum(map(abs, phases), Decimal(0)))
    return max(powers) / HOUR_S


def _guess(display: Decimal, gateway: Decimal) -> str:
    """Return what a difference looks like, "" if like nothing."""
    if display <= 0 or gateway <= 0:
        return ""
    quotient = gateway / display
    for power in range(-6, 7):
        if power and abs(quotient.scaleb(-power) - 1) < Decimal("0.001"):
            return f": a factor of 10^{power}, so a wrong scale or unit"
    if abs(quotient - quotient.to_integral_value()) < Decimal("0.001") * quotient and quotient >= 2:
        return f": {quotient.to_integral_value():f} times, so a ratio (变比) that the display leaves out, or that is counted twice"
    return ""

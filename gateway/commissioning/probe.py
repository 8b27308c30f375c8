"""Which meter type answers at an address: every candidate's probe and detect registers are read and the types ranked.

A rank is an argument, not a proof: many types have a frequency of 50 Hz somewhere. Reasons are told, and so is a tie.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from drivers.profiles import channel_keys, stand_ins
from drivers.profiles.compile import ChannelOverride, compile
from drivers.profiles.model import CONFIGURED
from gateway.commissioning.neighbours import (
    TELLING,
    Check,
    advice,
    look_around,
    on_the_wire,
    probe_check,
    slot_of,
    telling_checks,
    value_in,
)
from gateway.commissioning.plausible import is_sane, with_unit, within
from gateway.commissioning.reads import Stopped
from gateway.errors import ConfigError, DeviceError
from gateway.model import ABSENT
from gateway.quantity import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drivers.profiles import Library
    from drivers.profiles.model import DetectTable, Profile
    from gateway.commissioning.reads import MeterReads

CHANNELS_MAX = 6  # of one type, looked at for plausibility
FINALISTS_MAX = 14
LEAD = 2.0
"""By so much the first must lead for the answer to be one type."""
TELLING_ENOUGH = 3
PLACES_SHOWN = 3
POSSIBLE_SHOWN = 6
ORDER = (
    "voltage_ln",
    "voltage_ll",
    "frequency",
    "power_factor",
    "temperature",
    "current",
    "power",
    "flow",
    "energy",
    "vol",
)
_WEIGHTS = {"probe fits": 2.0, "probe out": -3.0, "refused": -3.0, "silent": -2.0, "detect": 4.0, "zero": 1.0}


@dataclass(slots=True)
class Candidate:
    """One meter type on trial. reasons: for and against, in words. speaks: something speaks for it that few share.

    variant, missing: of a type that is asked by identifier; missing: channel -> why it has no value.
    """

    profile: str
    maker: str
    model: str
    score: float = 0.0
    reasons: list[str] = field(default_factory=list)
    detects: int = 0
    telling: int = 0
    good: int = 0
    bad: int = 0
    speaks: bool = False
    variant: str = ""
    missing: dict[str, str] = field(default_factory=dict)

    def note(self, weight: float, reason: str) -> None:
        """Add a reason."""
        self.score += weight
        self.reasons.append(("+ " if weight > 0 else "- " if weight < 0 else "· ") + reason)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "profile": self.profile,
            "maker": self.maker,
            "model": self.model,
            "score": round(self.score, 2),
            "reasons": self.reasons,
            "variant": self.variant,
            "missing": self.missing,
        }


class Verdict(NamedTuple):
    """What the ranking says. best: the types that fit alike.

    outcome: "one", "several" (these cannot be told apart), "maybe" (nothing proves any, some are possible), "none", "silent".
    """

    outcome: str
    text: str
    best: tuple[str, ...]


def candidates(library: Library) -> list[Profile]:
    """Return the meter types that can be told by reading: Modbus ones but inputs of I/O modules; broken ones left out."""
    found = []
    for name in library.ids():
        try:
            profile = library.get(name)
        except ConfigError:  # `metergate profiles` and `check` report it
            continue
        if profile.protocol == "modbus" and not any(c.input for c in profile.channels.values()):
            found.append(profile)
    return found


async def rank(
    reads: MeterReads, profiles: Sequence[Profile], told: Callable[[int, int], None] = lambda _done, _of: None
) -> tuple[list[Candidate], bool]:
    """Return the types, best first, and whether all were looked at (False: stopped before). Raises LinkDown, Busy.

    told: how many of how many steps are done.
    """
    trials = [(profile, Candidate(profile.id, profile.maker, profile.model)) for profile in profiles]
    total = len(trials) + FINALISTS_MAX
    is_whole = True
    try:
        for n, (profile, candidate) in enumerate(trials):
            await _registers_of(reads, profile, candidate)
            told(n, total)
            if n == 5 and not reads.answered:  # it says nothing to six types: it is not there
                break
        if reads.answered:
            trials.sort(key=lambda trial: -trial[1].score)
            for n, (profile, candidate) in enumerate(trials[:FINALISTS_MAX]):
                await _plausible(reads, profile, candidate)
                told(len(trials) + n, total)
    except Stopped:
        is_whole = False
    found = [candidate for _, candidate in trials]
    return sorted(found, key=lambda c: (-c.score, c.profile)), is_whole


async def _registers_of(reads: MeterReads, profile: Profile, candidate: Candidate) -> None:
    """Weigh the probe and the detect registers of a type; of one without either, its most telling channel."""
    for table in profile.detect:
        await _detect(reads, profile, table, candidate)
    check = probe_check(profile)
    if check is None and not profile.detect:
        check = next(iter(telling_checks(profile)), None)
    if check is None:
        if not profile.detect:
            await _plausible_first(reads, profile, candidate)
        return
    raw = await reads.registers(check.source.function, check.source.address, check.source.count)
    where = f"function {check.source.function} address {check.source.address}"
    if isinstance(raw, DeviceError):
        candidate.note(_weight_of(raw), f"{check.name} at {where}: {_short(raw)}")
        return
    value = value_in(check.slot, raw)
    if check.low <= value <= check.high:
        candidate.speaks = True
        candidate.note(
            _WEIGHTS["probe fits"], f"{check.name} at {where} is {value:.6g} {check.unit}, which fits"
        )
    else:
        held = "no value" if math.isnan(value) else f"{value:.6g} {check.unit}"
        candidate.note(
            _WEIGHTS["probe out"], f"{check.name} at {where} is {held}, not {check.low:g} to {check.high:g}"
        )


async def _plausible_first(reads: MeterReads, profile: Profile, candidate: Candidate) -> None:
    """Look at one value of a type that nothing proves, so that it is neither favoured nor forgotten."""
    for name, raw, value, quantity in await _values(reads, profile, 1):
        if isinstance(raw, DeviceError):
            candidate.note(_weight_of(raw), f"{name}: {_short(raw)}")
        elif math.isnan(value) or not is_sane(value, quantity):
            candidate.note(-1.0, f"{name} is no reading")


async def _detect(reads: MeterReads, profile: Profile, table: DetectTable, candidate: Candidate) -> None:
    (resolved,) = profile.resolve(table)
    source = resolved.source
    raw = await reads.registers(source.function, source.address, source.count)
    wanted = table.among if table.equals is None else (table.equals,)
    where = f"function {source.function} address {source.address}"
    if isinstance(raw, DeviceError):
        candidate.note(_weight_of(raw), f"detect at {where}: {_short(raw)}")
        return
    value = value_in(slot_of(resolved), raw)
    if value in wanted:
        weight = _WEIGHTS["detect"] if value else _WEIGHTS["zero"]
        candidate.detects += bool(value)
        candidate.speaks = candidate.speaks or bool(value)
        candidate.note(weight, f"detect at {where} holds {value:g} as it must: {table.note}")
    else:
        candidate.note(
            -3.0, f"detect at {where} holds {value:g}, not {', '.join(map(str, wanted))}: {table.note}"
        )


async def _plausible(reads: MeterReads, profile: Profile, candidate: Candidate) -> None:
    """Weigh a few of the channels that are read by default."""
    good = bad = 0
    for name, raw, value, quantity in await _values(reads, profile, CHANNELS_MAX):
        window = TELLING.get(quantity)
        if isinstance(raw, DeviceError):
            bad += 1
            candidate.note(-1.0, f"{name}: {_short(raw)}")
        elif math.isnan(value) or not is_sane(value, quantity):
            bad += 1
            candidate.note(
                -1.0, f"{name} is no reading" if math.isnan(value) else f"{name} would be {value:.3g}"
            )
        elif value and window is not None and window[0] <= value <= window[1]:
            good += 1
            candidate.telling += 1
            candidate.note(1.0, f"{name} is {with_unit(value, quantity)}")
        elif value:
            good += 1
            candidate.note(0.25, f"{name} is {with_unit(value, quantity)}, which may be")
    candidate.good, candidate.bad = good, bad
    candidate.speaks = candidate.speaks or (candidate.telling >= TELLING_ENOUGH and good > bad)


async def _values(
    reads: MeterReads, profile: Profile, most: int
) -> list[tuple[str, bytes | DeviceError, float, str]]:
    """Return (channel, bytes or error, value, quantity) of the most telling channels, ratios taken as 1."""
    keys = [key for key in channel_keys(profile, ()) if profile.channels[key].valid_when is None]
    keys = sorted(keys, key=lambda key: _telling_rank(profile.channels[key].quantity))[:most]
    found = []
    for key in keys:
        table = profile.channels[key]
        override = ChannelOverride(
            unit=QUANTITIES[table.quantity].unit if table.unit == CONFIGURED else "",
            reference="any" if table.reference == CONFIGURED else "",
        )
        try:
            layout, sources = compile(profile, "probe", 0.0, (key,), stand_ins(profile), {key: override})
        except ConfigError:
            continue
        raw: bytes | DeviceError = b""
        for source in sources[0]:  # type: ignore[attr-defined]  # parts of a Modbus channel
            part = await reads.registers(source.function, source.address, source.count)
            if isinstance(part, DeviceError):
                raw = part
                break
            raw += part  # type: ignore[operator]
        value = math.nan
        if isinstance(raw, bytes):
            flags = layout.no_flags[:]
            value = layout.decode(raw, flags)[0]
            value = math.nan if flags[0] & ABSENT else value
            value = value if within(value, layout.channels[0].low, layout.channels[0].high) else math.nan
        found.append((key, raw, value, table.quantity))
    return found


def _telling_rank(quantity: str) -> int:
    return next((n for n, start in enumerate(ORDER) if quantity.startswith(start)), len(ORDER))


def _weight_of(error: DeviceError) -> float:
    return _WEIGHTS["refused" if error.reason == "exception" else "silent"]


def _short(error: DeviceError) -> str:
    if error.reason == "exception":
        return f"refused (exception {error.code})"
    return {"timeout": "no answer", "garbage": "a garbled answer"}.get(error.reason, str(error))


def verdict(ranked: Sequence[Candidate], reads: MeterReads) -> Verdict:
    """Return what the ranking allows to say, and no more."""
    if not reads.answered:
        text = f"Unit {reads.unit} does not answer: check unit id, power and wiring, on a line baud rate and parity too; `metergate scan` shows who does."
        return Verdict("silent", text, ())
    speaking = [c for c in ranked if c.speaks and c.score > 0]
    if not speaking and (possible := [c.profile for c in ranked if c.good and not c.bad and c.score > 0]):
        text = (
            f"Nothing proves a type here. The registers of {', '.join(possible[:POSSIBLE_SHOWN])} are there and hold what may be "
            "readings: compare the plate, and each value with the display."
        )
        return Verdict("maybe", text, tuple(possible))
    if not speaking:
        text = (
            f"Unit {reads.unit} answers, but reads like no meter type this gateway knows: the probe registers of all of them "
            "refuse or hold something else. See the plate; a type of its own needs a profile (docs/specs/profile.md)."
        )
        return Verdict("none", text, ())
    best = speaking[0]
    equals = [c.profile for c in speaking if best.score - c.score < LEAD]
    if len(equals) > 1:
        text = (
            f"It cannot be told which of {len(equals)} types this is: {', '.join(equals)} read alike here. The plate decides; "
            "one frequency or voltage in common proves nothing."
        )
        return Verdict("several", text, tuple(equals))
    strong = best.detects or best.telling >= TELLING_ENOUGH
    text = f"It reads like {best.maker} {best.model} ({best.profile}), and like no other type this gateway knows."
    text += "" if strong else " The evidence is thin."
    return Verdict("one", f"{text} Compare the plate and one reading with the display.", (best.profile,))


async def diagnose(reads: MeterReads, profile: Profile, variant: str = "") -> tuple[bool | None, list[str]]:
    """Return whether the values that prove a type are where its profile says, and what was found instead, in words.

    None: nothing of this type can be known beforehand, or the meter is silent. Raises Stopped, LinkDown, Busy.
    """
    own = probe_check(profile)
    checks = ([own] if own is not None else []) + [
        c for c in telling_checks(profile, variant) if own is None or c.source != own.source
    ]
    if not checks:
        return None, [f"{profile.id}: {profile.no_probe or 'no register whose value is known beforehand'}"]
    first = checks[0]
    raw = await reads.registers(first.source.function, first.source.address, first.source.count)
    where = on_the_wire(profile, first.source)
    if not isinstance(raw, DeviceError):
        value = value_in(first.slot, raw)
        if first.low <= value <= first.high:
            return True, [
                f"{first.name}: {where}; it holds {value:.6g} {first.unit}, which fits {profile.id}"
            ]
    lines = [f"{first.name}: {where}; {_held(first, raw)}"]
    places = await look_around(reads, checks)
    if not reads.answered:
        silence = (
            "nothing answers, neither there nor beside it, so nothing can be said of its registers or type"
        )
        return None, [f"{first.name}: {where}; {silence}"]
    lines += [advice(profile, first, place) for place in places[:PLACES_SHOWN]]
    if len(places) > 1:
        lines.append("more than one place fits: the digits of the display decide")
    if not places:
        lines.append(
            "one register higher and lower, the other function and all word orders were tried: none fits. It may be another "
            "meter, without voltage, or switched off on the line side"
        )
    return False, lines


def _held(check: Check, raw: bytes | DeviceError) -> str:
    expected = f"{check.low:g} to {check.high:g} {check.unit}"
    if isinstance(raw, DeviceError):
        refused = raw.reason == "exception"
        held = f"it is refused there (exception {raw.code})" if refused else f"there is {_short(raw)}"
        return f"{held}; expected {expected}"
    value = value_in(check.slot, raw)
    held = "no value" if math.isnan(value) else f"{value:.6g} {check.unit}"
    return f"it holds {held} ({raw.hex()}), not {expected}"

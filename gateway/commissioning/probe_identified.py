"""Which meter type a DL/T 645 or CJ/T 188 meter is: the identifiers of all candidates are read, each once, and the types ranked.

That the meter answers at all is proved by its own number in the frame; how many channels of a type it has, and whether
they hold what may be readings, is what tells the types apart.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from drivers.dlt645.frame import error_words
from drivers.identifiers import CjtSettings, CjtSource, DltSource
from drivers.profiles import ratio_layout, ratio_values, stand_ins
from drivers.profiles.compile import ChannelOverride, compile
from drivers.profiles.identified import settings as settings_of
from drivers.profiles.model import CONFIGURED
from gateway.commissioning.plausible import is_sane, with_unit, within
from gateway.commissioning.probe import LEAD, POSSIBLE_SHOWN, Candidate, Verdict
from gateway.commissioning.reads import Stopped
from gateway.config.meters import PROTOCOL_NAMES
from gateway.errors import ConfigError, DeviceError
from gateway.model import ABSENT
from gateway.quantity import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
    from decimal import Decimal

    from drivers.profiles import Library
    from drivers.profiles.model import Profile
    from gateway.commissioning.identified_reads import IdentifiedReads

NAMED_MAX = 6
SILENCE = "no answer"
_GOOD, _BAD, _MISSING = 1.0, -1.0, -0.02
"""What one channel weighs. One a meter has not says little: single-phase meters answer a third of the common identifiers."""


class Trial(NamedTuple):
    """One meter type in one variant."""

    profile: Profile
    variant: str
    settings: Hashable
    keys: tuple[str, ...]


def identified_candidates(library: Library, protocol: str) -> list[Profile]:
    """Return the meter types of a protocol; broken ones left out."""
    found = []
    for name in library.ids():
        try:
            profile = library.get(name)
        except ConfigError:  # `metergate profiles` and `check` report it
            continue
        if profile.protocol == protocol:
            found.append(profile)
    return found


def trials_of(profiles: Iterable[Profile]) -> list[Trial]:
    """Return every meter type in every variant that is asked, or answers, differently."""
    found: dict[tuple[str, Hashable, tuple[str, ...]], Trial] = {}
    for profile in profiles:
        for variant in ("", *profile.variants):
            settings, keys = settings_of(profile, variant), profile.keys(variant)
            found.setdefault((profile.id, settings, keys), Trial(profile, variant, settings, keys))
    return list(found.values())


def steps_of(trials: Sequence[Trial]) -> int:
    """Return how many answers are asked for, at most."""
    return len({place for trial in trials for _, place in _places(trial)})


async def rank_identified(reads: IdentifiedReads, trials: Sequence[Trial]) -> tuple[list[Candidate], bool]:
    """Return the types, best first, and whether all were looked at (False: stopped before). Raises LinkDown, Busy."""
    found: list[Candidate] = []
    is_whole = True
    try:
        for trial in trials:
            profile = trial.profile
            candidate = Candidate(profile.id, profile.maker, profile.model, variant=trial.variant)
            found.append(candidate)
            await _weigh(reads, trial, candidate)
    except Stopped:
        is_whole = False
    return sorted(found, key=lambda c: (-c.score, c.profile, c.variant)), is_whole


def _places(trial: Trial) -> Iterable[tuple[str, Hashable]]:
    """Yield (channel, what is asked for it)."""
    for key in trial.keys:
        source = _compiled(trial, key, stand_ins(trial.profile))
        if source is None:
            continue
        place = source[1]
        yield key, (place.di, place.size) if isinstance(place, DltSource) else (place.di, trial.settings)


def _compiled(
    trial: Trial, key: str, ratios: Mapping[str, Decimal]
) -> tuple[Callable[[bytes], float], DltSource | CjtSource] | None:
    """Return what makes a channel's value of its bytes (NaN: none that may be a reading), and where they lie."""
    table = trial.profile.channels[key]
    override = ChannelOverride(
        unit=QUANTITIES[table.quantity].unit if table.unit == CONFIGURED else "",
        reference="any" if table.reference == CONFIGURED else "",
    )
    gate = table.valid_when
    own = (key,) if gate is None else (key, gate.channel)
    try:
        layout, sources = compile(trial.profile, "probe", 0.0, own, ratios, {key: override}, trial.variant)
    except ConfigError:
        return None
    source, channel = sources[0], layout.channels[0]
    assert isinstance(source, DltSource | CjtSource)

    def value(raw: bytes) -> float:
        flags = layout.no_flags[:]
        found = layout.decode(raw + bytes(layout.size - len(raw)), flags)[0]
        fits = within(found, channel.low, channel.high) and is_sane(found, channel.quantity)
        return found if flags[0] & ABSENT or fits else math.inf

    return value, source


async def _weigh(reads: IdentifiedReads, trial: Trial, candidate: Candidate) -> None:
    """Read all channels of a type and say how many answered, and with what. Raises Stopped, LinkDown, Busy."""
    try:
        ratios = await _ratios(reads, trial)
    except DeviceError as error:
        candidate.missing = dict.fromkeys(trial.keys, words_of(error))
        candidate.note(-3.0, f"{_asked_as(trial)}: {words_of(error)}")
        return
    good: list[str] = []
    bad: list[str] = []
    empty: list[str] = []
    for key in trial.keys:
        compiled = _compiled(trial, key, ratios)
        if compiled is None:
            continue
        raw = await reads.piece(compiled[1], trial.settings)
        if isinstance(raw, DeviceError):
            candidate.missing[key] = words_of(raw)
            continue
        value = compiled[0](raw)
        if math.isnan(value):
            empty.append(key)
        elif math.isinf(value):
            bad.append(f"{key} (raw {raw.hex()})")
        else:
            good.append(f"{key} is {with_unit(value, trial.profile.channels[key].quantity)}")
    _told(candidate, trial, good, bad, empty)


async def _ratios(reads: IdentifiedReads, trial: Trial) -> dict[str, Decimal]:
    """Return ratios of 1 and what the unit bytes hold. Raises DeviceError, Stopped, LinkDown, Busy."""
    profile = trial.profile
    small = ratio_layout(profile, profile.id)
    raw = b""
    for source in () if small is None else small[1]:
        assert isinstance(source, CjtSource)
        found = await reads.piece(source, trial.settings)
        if isinstance(found, DeviceError):
            raise found
        raw += found
    ones = dict.fromkeys((name for name, ratio in profile.ratios.items() if ratio.configured), "1")
    return ratio_values(profile, None if small is None else small[0], raw, ones)


def _told(candidate: Candidate, trial: Trial, good: list[str], bad: list[str], empty: list[str]) -> None:
    """Add the reasons for and against."""
    candidate.good, candidate.bad = len(good), len(bad)
    candidate.speaks = len(good) > len(bad)
    of = len(good) + len(bad) + len(empty) + len(candidate.missing)
    if good:
        candidate.note(
            _GOOD * len(good), f"{len(good)} of {of} channels hold what may be readings: {some(good)}"
        )
    if bad:
        candidate.note(_BAD * len(bad), f"{len(bad)} hold what cannot be: {some(bad)}")
    if empty:
        candidate.note(0.0, f"{len(empty)} answer that there is no value: {some(empty)}")
    for why in dict.fromkeys(candidate.missing.values()):
        keys = [key for key, said in candidate.missing.items() if said == why]
        candidate.note(_MISSING * len(keys), f"{len(keys)} not answered ({why}): {some(keys)}")
    if trial.variant:
        candidate.reasons.append(f"· variant {trial.variant}: {trial.profile.variants[trial.variant]}")


def some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more


def words_of(error: DeviceError) -> str:
    """Return why there is no value, shortly."""
    if error.reason == "timeout":
        return SILENCE
    if error.reason == "exception" and error.code is not None:
        return f"refused: {error_words(error.code)}"
    return str(error)


def _asked_as(trial: Trial) -> str:
    if isinstance(trial.settings, CjtSettings):
        return f"asked as meter type {trial.settings.meter_type:02X}H"
    return "asked"


def verdict_identified(ranked: Sequence[Candidate], reads: IdentifiedReads) -> Verdict:
    """Return what the ranking allows to say, and no more."""
    who = f"{PROTOCOL_NAMES[reads.protocol]} meter {reads.address}"
    if not reads.answered:
        text = (
            f"{who} does not answer: check every digit of the number, power, A and B (A/B 线), baud rate and parity; "
            "`metergate scan` finds a meter that is alone on the line."
        )
        text += f" What came is no answer: {reads.garbled}" if reads.garbled else ""
        return Verdict("silent", text, ())
    speaking = [c for c in ranked if c.speaks]
    if not speaking:
        heard = [c for c in ranked if set(c.missing.values()) != {SILENCE}]
        why = "; ".join(reason[2:] for c in heard[:1] for reason in c.reasons)
        text = f"{who} answers, but like no meter type this gateway knows: {why}. It needs a profile of its own (docs/how-to/add-a-meter.md)."
        return Verdict("none", text, ())
    best = speaking[0]
    equals = [c for c in speaking if best.score - c.score < LEAD]
    names = tuple(dict.fromkeys(c.profile for c in equals))
    if len(equals) > 1:
        shown = ", ".join(map(named, equals[:POSSIBLE_SHOWN]))
        text = f"{who} answers alike as {shown}: the plate decides."
        return Verdict("several", text, names)
    text = (
        f"{who} reads like {best.maker} {best.model} ({named(best)}), and like no other type this gateway knows. "
        "Compare the plate and one reading with the display."
    )
    return Verdict("one", text, names)


def named(candidate: Candidate) -> str:
    """Return a type with its variant."""
    return f"{candidate.profile}, variant {candidate.variant}" if candidate.variant else candidate.profile


def coverage(candidate: Candidate, keys: Sequence[str]) -> tuple[bool, list[str]]:
    """Return whether a meter has all of these channels of a type, and in words what it does not answer."""
    lacking = {key: candidate.missing[key] for key in keys if key in candidate.missing}
    said = f"{named(candidate)}: {len(keys) - len(lacking)} of the {len(keys)} channels it is read for answer"
    lines = [said] + [f"not answered: {key} ({why})" for key, why in lacking.items()]
    if lacking and len(lacking) < len(keys):
        lines.append("leave them out with `channels` in the site file, or they stay without value")
    return not lacking, lines

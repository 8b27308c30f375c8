"""What a corrected profile makes of samples already journaled: the same bytes, decoded by the layout of today.

A correction may change what bytes mean (scale, order, sign, limits, unit), never which bytes they are: those of another
address are not in the journal. Ratios stay those of the time. Raw bytes and journaled samples are never touched.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from drivers import profiles
from drivers.profiles.model import UNITS
from drivers.profiles.ratio import REGISTER_EVIDENCE
from gateway.checks import Checker
from gateway.config.meters import channel_overrides, variable_specs
from gateway.errors import ConfigError, MetergateError
from gateway.model import ABSENT, Flag, Frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from drivers.profiles import Library
    from gateway.config.models import MeterConfig
    from gateway.journal.journal import Journal
    from gateway.layout import Layout

CHUNK_READINGS = 5_000
"""Most readings of the journal, of all meters, that are in memory at once (or one commit group)."""
_OF_CHECKS = int(Flag.RANGE | Flag.ROLLBACK | Flag.JUMP | Flag.STUCK)
_NOT_READ = int(Flag.MISSING | Flag.COMMS)
_MAINTENANCE = int(Flag.MAINTENANCE)
_ABSENT = int(ABSENT)


class CannotReplay(MetergateError):
    """The correction cannot be applied to what is journaled."""


def corrected(
    before: Layout, meter: MeterConfig, library: Library, *, same_addresses: bool = False
) -> Layout:
    """Return the layout that today's profile and site file give the channels of a journaled one, ratios of its time.

    same_addresses: a person vouches for it, where the journaled layout does not say where its channels lay.
    Raises CannotReplay.
    """
    keys = tuple(channel.key for channel in before.channels)
    try:
        after = _compiled(before, keys, meter, library)
    except ConfigError as error:
        raise CannotReplay(
            f"{meter.id}: the corrected profile does not fit what was read: {error}"
        ) from error
    except KeyError as error:
        gone = f"channel {error.args[0]} was read then and is not there any more"
        raise CannotReplay(f"{meter.id}: {gone}; a replay corrects channels and takes none away") from error
    _compare(before, after, same_addresses)
    return after


def _compiled(before: Layout, keys: tuple[str, ...], meter: MeterConfig, library: Library) -> Layout:
    if meter.variables:
        specs = variable_specs(meter)
        own = {key: specs[key] for key in keys}
        return profiles.compile_variables(meter.id, before.period_s, own, before.energy_kind)[0]
    profile = library.get(meter.profile)
    ratios = {name: Decimal(text) for name, text in before.ratios.items() if _is_ratio(name, profile)}
    return profiles.compile(
        profile,
        meter.id,
        before.period_s,
        keys,
        ratios,
        channel_overrides(meter),
        meter.variant,
        before.energy_kind,
    )[0]


def _is_ratio(name: str, profile: profiles.Profile) -> bool:
    """Return whether it is a ratio or a unit the meter told, and not what the site file says of an input."""
    return name.removesuffix(REGISTER_EVIDENCE) in profile.ratios or name.startswith(UNITS)


def _compare(before: Layout, after: Layout, same_addresses: bool) -> None:
    """Raise CannotReplay unless both read the same bytes at the same places under the same ratios."""
    who = before.meter
    places = before.sources or ("",) * len(before.slots)
    for channel, old, new, was, is_ in zip(
        before.channels, before.slots, after.slots, places, after.sources, strict=True
    ):
        if was and was != is_:
            raise CannotReplay(
                f"{who}: {channel.key} was read at {was}, the corrected profile reads {is_}: those bytes are not in the "
                "journal. A replay corrects what bytes mean, not which they are"
            )
        if old.size != new.size:
            raise CannotReplay(
                f"{who}: {channel.key} was read as {old.size} bytes, the corrected profile takes {new.size}: the others "
                "are not in the journal"
            )
    if not before.sources and not same_addresses:
        raise CannotReplay(
            f"{who}: these readings were journaled by a version that did not keep their addresses. If the correction changed "
            "none (compare the two profiles), say so with --same-addresses"
        )
    if dict(before.ratios) != dict(after.ratios):
        names = sorted(name for name, _ in before.ratios.items() ^ after.ratios.items())
        raise CannotReplay(
            f"{who}: {', '.join(dict.fromkeys(names))} was another one then; a replay keeps what was in force. Record a changed "
            "ratio with `metergate ratio`"
        )


def reads_alike(before: Layout, after: Layout) -> bool:
    """Return whether both make the same of every sample."""
    return (before.slots, before.channels) == (after.slots, after.channels)


class Corrector:
    """Samples of one journaled layout as a corrected one reads them."""

    def __init__(self, before: Layout, after: Layout) -> None:
        """before, after: of the same channels."""
        self.before, self.after = before, after
        self._alike = reads_alike(before, after)
        self._checker = Checker(after)
        self._epoch = -1

    def frame(self, frame: Frame) -> Frame:
        """Return a frame with values and flags of the corrected layout; identity, raw bytes and times are the same.

        What the driver and the clock doubted stays doubted; what the layout and the checks did is found out anew, the
        checks from the first frame on. Where both layouts read alike the frame keeps its flags: the checks of the time knew
        the readings before it, which are not looked at here.
        """
        if self._alike:
            return replace(frame, layout=self.after)
        flags = self._doubts(frame)
        values = self.after.decode(frame.raw, flags)
        if frame.epoch != self._epoch:
            self._checker.clock_stepped()
            self._epoch = frame.epoch
        self._checker.check(frame.time_ns, values, flags, frame.raw)
        self._checker.findings.clear()
        return Frame(self.after, frame.epoch, frame.time_ns, frame.device_time_ns, frame.raw, values, flags)

    def _doubts(self, frame: Frame) -> array[int]:
        """Return the flags a frame had before its layout and the checks added theirs."""
        added = array("H", (flag & _NOT_READ for flag in frame.flags))
        self.before.decode(frame.raw, added)
        declared = all(
            flag & _MAINTENANCE for flag in frame.flags
        )  # a meter's own status marks single channels
        kept = _NOT_READ | (_MAINTENANCE if declared else 0)
        return array(
            "H",
            (
                flag & ~_OF_CHECKS & ~(of_layout & ~kept)
                for flag, of_layout in zip(frame.flags, added, strict=True)
            ),
        )


class Change(NamedTuple):
    """How a frame differs once corrected. withdrawn: values it had and has no more, which stay in a database."""

    is_other: bool
    withdrawn: int


def change(before: Frame, after: Frame) -> Change:
    """Return what the correction did to a frame."""
    pairs = list(zip(before.values, after.values, strict=True))
    other = before.flags != after.flags or any(
        old != new and not (math.isnan(old) and math.isnan(new)) for old, new in pairs
    )
    return Change(other, sum(math.isnan(new) and not math.isnan(old) for old, new in pairs))


class Part(NamedTuple):
    """Some frames of one meter, and how much of the journal has been looked at (0 to 1)."""

    frames: list[Frame]
    first_group: int
    last_group: int
    done: float


async def journaled(
    journal: Journal, meter: str, from_ns: int, to_ns: int, until: int, begin: int = 0
) -> AsyncIterator[Part]:
    """Yield the frames of a meter from `from_ns` to below `to_ns`, in journal order, out of groups `begin` to below `until`.

    Memory: a few thousand readings at a time. Raises StorageError.
    """
    begin = first = max(begin, journal.oldest)
    while first < until:
        spans = await journal.spans(first, until)
        if not spans:
            return
        wanted = [id_ for id_, first_ns, last_ns in spans if first_ns < to_ns and last_ns >= from_ns]
        first = spans[-1][0] + 1
        at = wanted[0] if wanted else first
        end = wanted[-1] + 1 if wanted else first
        while at < end:
            groups = await journal.fetch(at, end, CHUNK_READINGS)
            if not groups:
                break
            own = [
                (group.id, frame)
                for group in groups
                for frame in group.frames
                if frame.layout.meter == meter and from_ns <= frame.time_ns < to_ns
            ]
            at = groups[-1].id + 1
            done = min((at - begin) / max(until - begin, 1), 1.0)
            ids = [id_ for id_, _ in own] or [0]
            yield Part([frame for _, frame in own], ids[0], ids[-1], done)

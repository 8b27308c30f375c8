"""How much journal and history a site writes, and for how long both hold at the sizes they may have: estimates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from drivers import profiles
from gateway.assembly import by_period
from gateway.config.channels import channels
from gateway.config.meters import channel_overrides, variable_specs
from gateway.config.reports import reported
from gateway.config.sinks import FEED_KINDS
from gateway.history.sizes import estimate
from gateway.journal.records import FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from drivers.profiles import Library
    from gateway.config.models import MeterConfig, Site

DAY_S = 86_400
GROUP_BYTES = 48
"""Columns of a row of `groups` beside its body, with the cell's own bytes. Source: docs/specs/journal.md; SQLite file format 2.1."""
PAGE_BYTES, PAGE_HEAD = 4096, 8
LOCAL_MAX, LOCAL_MIN, OVERFLOW = PAGE_BYTES - 35, (PAGE_BYTES - 12) * 32 // 255 - 23, PAGE_BYTES - 4
"""What of a row lies in its own page, and in each further one. Source: SQLite file format 1.6."""
JOURNAL_DAYS_MIN = 1
HISTORY_DAYS_MIN = 183
"""Six months: what the platforms ask a gateway to keep."""
GIB, MIB = 1 << 30, 1 << 20


class Storage(NamedTuple):
    """Estimates; *_day: bytes a day. *_days: how long it is until the oldest go because of size; None: never.

    kept_bytes: what `history.keep` needs, outbox included.
    """

    frames_s: float
    journal_day: int
    journal_days: float | None
    history_day: int
    outbox_day: int
    history_days: float | None
    kept_bytes: int


def storage(site: Site, library: Library) -> Storage:
    """Return what a checked site writes."""
    frames_s, bytes_s = 0.0, 0.0
    sizes: dict[Hashable, int] = {}
    for meter in site.meters:
        for period_s, keys in by_period(meter, channels(meter, library)).items():
            if meter.enabled:
                key = meter.profile, meter.variant, keys, repr(meter.override), repr(meter.variables)
                if key not in sizes:
                    sizes[key] = _raw_bytes(meter, keys, library)
                frames_s += 1 / period_s
                bytes_s += (FRAME_BYTES + sizes[key]) / period_s
    journal_day = _journal_bytes_s(frames_s, bytes_s, site.journal.group_s) * DAY_S
    counts = {meter.id: len(reported(meter, library)) for meter in site.meters}
    is_fed = any(isinstance(sink, FEED_KINDS) for sink in site.sinks)
    grown = estimate(
        {meter: count for meter, count in counts.items() if count},
        int(site.intervals.length_s),
        site.history.keep_s,
        is_fed,
    )
    return Storage(
        frames_s,
        round(journal_day),
        _days(site.journal.size_max_bytes, journal_day),
        grown.history_bytes_day,
        grown.outbox_bytes_day,
        _days(site.history.size_max_bytes, grown.history_bytes_day + grown.outbox_bytes_day),
        grown.kept_bytes,
    )


def _days(size_bytes: float, bytes_day: float) -> float | None:
    return size_bytes / bytes_day if bytes_day else None


def _raw_bytes(meter: MeterConfig, keys: tuple[str, ...], library: Library) -> int:
    """Return the raw bytes of one frame of these channels."""
    if meter.variables:
        specs = variable_specs(meter)
        own = {key: specs[key] for key in keys}
        return profiles.compile_variables(meter.id, meter.period_s, own)[0].size
    profile = library.get(meter.profile)
    ratios = profiles.stand_ins(profile)  # ratios scale values, they add no bytes
    overrides = channel_overrides(meter)
    return profiles.compile(profile, meter.id, meter.period_s, keys, ratios, overrides, meter.variant)[0].size


def _journal_bytes_s(frames_s: float, bytes_s: float, group_s: float) -> float:
    """Return how fast the journal grows. A group holds what comes within `group_s`, at worst a frame alone."""
    if not frames_s:
        return 0.0
    groups_s = min(frames_s, 1 / group_s)
    return groups_s * _on_disk(GROUP_BYTES + bytes_s / groups_s)


def _on_disk(row: float) -> float:
    """Return the bytes of pages that a row of a table takes when all rows are alike."""
    overflow = 0
    local = row
    if row > LOCAL_MAX:
        rest = LOCAL_MIN + (row - LOCAL_MIN) % OVERFLOW
        local = rest if rest <= LOCAL_MAX else LOCAL_MIN
        overflow = math.ceil((row - local) / OVERFLOW)
    rows = max(1, int((PAGE_BYTES - PAGE_HEAD) // (local + 2)))
    return overflow * PAGE_BYTES + PAGE_BYTES / rows


def storage_warnings(site: Site, found: Storage) -> Iterator[str]:
    """Yield a warning for a journal that holds less than a day, and a history of less than six months or than `keep`."""
    if found.journal_days is not None and found.journal_days < JOURNAL_DAYS_MIN:
        yield (
            f"journal.size_max: {size(site.journal.size_max_bytes)} holds about {span(found.journal_days)}; a sink that is away for "
            f'longer loses readings; a day needs size_max = "{_enough(found.journal_day)}"'
        )
    keep_days = site.history.keep_s / DAY_S
    if keep_days < HISTORY_DAYS_MIN:
        yield f'history.keep: {span(keep_days)}, less than six months: keep = "200d"'
    if found.history_days is not None and found.history_days < keep_days:
        short = ", less than six months" if found.history_days < HISTORY_DAYS_MIN <= keep_days else ""
        yield (
            f"history.size_max: {size(site.history.size_max_bytes)} holds about {span(found.history_days)}{short}; keep = {span(keep_days)} "
            f'needs about {size(found.kept_bytes)}: size_max = "{_enough(found.kept_bytes)}"'
        )


def _enough(size_bytes: float) -> str:
    """Return a size for the site file with room to spare: a quarter, as the estimate may be off by that."""
    wanted = 1.25 * size_bytes
    return f"{math.ceil(wanted / GIB)}GiB" if wanted > GIB else f"{max(16, math.ceil(wanted / MIB))}MiB"


def size(size_bytes: float) -> str:
    """Return a size as people read it."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (1024, "KiB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.3g} {name}"
    return f"{size_bytes:.0f} B"


def span(days: float) -> str:
    """Return how long something lasts, as people read it."""
    if days >= 1:
        return f"{days:,.0f} d" if days >= 10 else f"{days:.1f} d"
    return f"{24 * days:.1f} h"

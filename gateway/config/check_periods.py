"""Cross checks of `[intervals]`, `[[aggregates]]` and the feed: hours, terms, and who the sender is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.config.credit_code import ALPHABET, LENGTH, check_character
from gateway.config.meters import profile_library, unknown
from gateway.config.periods import clock_time_s, tariff_spans
from gateway.config.reports import reported
from gateway.config.sinks import FEED_KINDS, FeedMqttConfig
from gateway.errors import ConfigError, Finding
from gateway.findings import shown
from gateway.intervals.grid import cut_by_changes
from gateway.quantity import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from drivers.profiles import Library
    from gateway.config.draft import Draft, Entry
    from gateway.config.models import MeterConfig, PlaceConfig
    from gateway.config.periods import AggregateConfig, IntervalsConfig, TariffConfig, TermConfig
    from gateway.config.reports import Reported
    from gateway.config.sinks import SinkConfig

DAY_S = 86_400
REGION = re.compile(r"[0-9]{6}", re.ASCII)
EVERY_MONTH = tuple(range(1, 13))
PROBLEMS_MAX = 12
"""Findings of tariffs in one file; what is mended may show more."""


def check_periods(draft: Draft) -> Iterator[Finding]:
    """Yield every finding about periods, aggregates and the feed that needs more than one key to be seen."""
    if draft.intervals.value is not None:
        yield from _intervals(draft, draft.intervals.value, draft.intervals.doubtful)
    if draft.aggregates:
        yield from _aggregates(draft)
    feeds = [entry for entry in draft.sinks if isinstance(entry.value, FEED_KINDS)]
    if feeds:
        yield from _sender(draft.site, feeds[0].path)
    yield from _twice(feeds)


def _intervals(draft: Draft, table: IntervalsConfig, doubtful: frozenset[str]) -> Iterator[Finding]:
    """Yield what of the times of day does not lie on the grid or does not fit together."""
    length_s = 0 if "length" in doubtful else int(table.length_s)
    zone = "UTC" if draft.site.value is None else draft.site.value.timezone
    if length_s and cut_by_changes(zone, length_s):
        expected = f"a length that divides every change of the clock in {zone}"
        yield Finding("intervals.length", f"{length_s // 60} min", expected, 'try "15min"')
    if "day_start" not in doubtful:
        yield from _on_grid("intervals.day_start", table.day_start, length_s)
    first: dict[str, int] = {}
    for i, shift in enumerate(table.shifts, 1):
        path = f"intervals.shifts[{i}]"
        if first.setdefault(shift.id, i) != i:
            hint = f"intervals.shifts[{first[shift.id]}] has it already"
            yield Finding(f"{path}.id", f'"{shift.id}" again', "an id of its own", hint)
        yield from _on_grid(f"{path}.start", shift.start, length_s)
        yield from _on_grid(f"{path}.end", shift.end, length_s)
        if shift.start == shift.end:
            yield Finding(f"{path}.end", f'"{shift.end}", when it begins', "another time than `start`")
    if table.tariffs:
        yield from _tariffs(table.tariffs, length_s)


def _on_grid(path: str, time: str, length_s: int, *more: str) -> Iterator[Finding]:
    """Yield a finding for a time of day that does not lie between two intervals. more: the other end, of hours."""
    times = (time, *more)
    if length_s and any(clock_time_s(one) % length_s for one in times):
        near = "-".join(_near(one, length_s) for one in times)
        expected = (
            f"a time at which an interval begins: every {length_s // 60:g} min" if length_s % 60 == 0 else ""
        )
        expected = expected or f"a time at which an interval begins: every {length_s} s"
        yield Finding(path, f'"{"-".join(times)}"', expected, f'try "{near}", or another intervals.length')


def _near(time: str, length_s: int) -> str:
    return _clock(clock_time_s(time) // length_s * length_s)


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds % 3600 // 60:02}"


def _tariffs(tariffs: Sequence[TariffConfig], length_s: int) -> Iterator[Finding]:
    """Yield where hours of tariffs lie off the grid, where none holds and where several do."""
    for i, tariff in enumerate(tariffs, 1):
        for j, hours in enumerate(tariff.hours, 1):
            begin, _, end = hours.partition("-")
            yield from _on_grid(f"intervals.tariffs[{i}].hours[{j}]", begin, length_s, end)
    problems: dict[tuple[str, str], list[int]] = {}
    for month in EVERY_MONTH:
        for problem in _problems(tariff_spans(tariffs, month)):
            problems.setdefault(problem, []).append(month)
    for (found, hint), months in list(problems.items())[:PROBLEMS_MAX]:
        when = "" if len(months) == len(EVERY_MONTH) else f" in month {', '.join(map(str, months))}"
        expected = "every hour of every month in exactly one tariff period, or no tariffs at all"
        yield Finding("intervals.tariffs", found + when, expected, hint)


def _problems(spans: list[tuple[int, int, str]]) -> Iterator[tuple[str, str]]:
    """Yield (what is wrong, what to do) of the tariff periods of one month, in order of time."""
    covered = 0
    for begin, end, _ in [*spans, (DAY_S, DAY_S, "")]:
        if begin > covered:
            yield f"{_clock(covered)}-{_clock(begin)} in no tariff period", "add these hours to one"
        covered = max(covered, end)
    reach = spans[:1]
    for span in spans[1:]:
        longest = reach[-1]
        if span[0] < longest[1]:
            both = f"{_clock(span[0])}-{_clock(min(span[1], longest[1]))} is {longest[2]} and {span[2]}"
            yield both, "take these hours out of one of them"
        if span[1] > longest[1]:
            reach.append(span)


def _aggregates(draft: Draft) -> Iterator[Finding]:
    """Yield what is wrong with the terms of aggregates: meters, channels, units."""
    meters = {str(entry.body.get("id")): entry for entry in draft.meters}
    library = profile_library(() if draft.gateway.value is None else draft.gateway.value.profile_dirs)
    known: dict[str, dict[str, Reported] | None] = {}
    for entry in draft.aggregates:
        if entry.value is None or "terms" in entry.doubtful:
            continue
        found: list[tuple[int, Reported]] = []
        first: dict[tuple[str, str], int] = {}
        for i, term in enumerate(entry.value.terms, 1):
            path = f"{entry.path}.terms[{i}]"
            if first.setdefault((term.meter, term.channel), i) != i:
                hint = f"terms[{first[term.meter, term.channel]}] has it; weigh it instead: weight = 2"
                yield Finding(path, f"{term.meter} {term.channel} again", "each channel once", hint)
            if term.meter not in meters:
                yield unknown(f"{path}.meter", term.meter, meters, "meters")
                continue
            meter = meters[term.meter].value
            if term.meter not in known:
                known[term.meter] = None if meter is None else _reported(meter, library)
            reports = known[term.meter]
            if meter is None or reports is None or meters[term.meter].doubtful:
                continue
            if term.channel in reports and reports[term.channel].kind == "counter":
                found.append((i, reports[term.channel]))
            else:
                yield _no_term(path, term, reports)
        yield from _one_unit(entry, found)


def _reported(meter: MeterConfig, library: Library) -> dict[str, Reported] | None:
    """Return the reported channels of a meter by key, None if it has faults of its own that are told with it."""
    if any(variable.quantity not in QUANTITIES for variable in meter.variables.values()):
        return None
    if not meter.variables and meter.profile not in library.ids():
        return None
    try:
        return {channel.key: channel for channel in reported(meter, library)}
    except ConfigError:
        return None


def _no_term(path: str, term: TermConfig, reports: dict[str, Reported]) -> Finding:
    """Return the finding of a channel that has no amount to add up: not read, not reported, or not a counter."""
    counters = {key: channel for key, channel in reports.items() if channel.kind == "counter"}
    if term.channel in reports:
        found = f'"{term.channel}", a gauge'
        listed = ", ".join(counters) or f"but {term.meter} has none"
        return Finding(f"{path}.channel", found, f"a counter, which has amounts to add up: {listed}")
    if not counters:
        hint = f"read a counter of {term.meter}, or write report = true into [meters.override.<channel>]"
        expected = f"a reported counter, but {term.meter} has none"
        return Finding(f"{path}.channel", f'"{term.channel}"', expected, hint)
    return unknown(f"{path}.channel", term.channel, counters, f"counters of {term.meter} that are reported")


def _one_unit(entry: Entry[AggregateConfig], found: list[tuple[int, Reported]]) -> Iterator[Finding]:
    """Yield a finding for each term in another unit, or at another reference condition, than the first."""
    for i, channel in found[1:]:
        number, first = found[0]
        own, other = (f"{one.unit} {one.reference}".strip() for one in (channel, first))
        if own != other:
            expected = f"{other}, as of terms[{number}]"
            hint = "make two aggregates of it: a weight has no unit"
            yield Finding(f"{entry.path}.terms[{i}].channel", f'"{channel.key}" in {own}', expected, hint)


def _sender(site: Entry[PlaceConfig], sink: str) -> Iterator[Finding]:
    """Yield what the topics of the feed need and `[site]` does not say."""
    if site.value is None:
        return
    region, enterprise, why = site.value.region, site.value.enterprise, f": {sink} sends it in every message"
    if "region" not in site.doubtful and not REGION.fullmatch(region):
        found = shown(region) if region else "nothing"
        expected = f"the administrative code 行政区划代码, 6 digits{why}"
        yield Finding("site.region", found, expected, 'such as region = "330100"')
    if "enterprise" not in site.doubtful:
        yield from _enterprise(enterprise, why)


def _enterprise(code: str, why: str) -> Iterator[Finding]:
    """Yield a finding unless this is a unified social credit code with the right check character."""
    licence = "copy it from the business licence 营业执照"
    if len(code) != LENGTH or not set(code) <= set(ALPHABET):
        plain = re.sub(r"[\s-]", "", code.upper())
        usable = len(plain) == LENGTH and set(plain) <= set(ALPHABET)
        odd = "".join(sorted(set(plain) - set(ALPHABET)))
        found = f"{shown(code)}, {len(code)} characters" if code else "nothing"
        found += f", with {shown(odd)}" if odd else ""
        expected = (
            f"the unified social credit code 统一社会信用代码, 18 digits and capitals without I O S V Z{why}"
        )
        yield Finding("site.enterprise", found, expected, f'try "{plain}"' if usable else licence)
        return
    right = check_character(code[:-1])
    if code[-1] != right:
        found = f'"{code}", whose check character does not fit the other 17'
        expected = f'"{right}" at the end of these 17 (GB 32100-2015)'
        yield Finding(
            "site.enterprise", found, expected, f"a character is wrong or two are exchanged: {licence}"
        )


def _twice(feeds: Sequence[Entry[SinkConfig]]) -> Iterator[Finding]:
    """Yield a finding for each sink that gives the same messages to the same place again."""
    first: dict[tuple[object, ...], Entry[SinkConfig]] = {}
    for entry in feeds:
        sink = entry.value
        place: tuple[object, ...]
        if isinstance(sink, FeedMqttConfig):
            key, place = "host", (sink.host.lower().rstrip("."), sink.port)
            found = f"{sink.host}:{sink.port}"
        elif isinstance(sink, FEED_KINDS):
            key, place = "url", (sink.url.rstrip("/"), sink.org, sink.bucket)
            found = f"{sink.url}, bucket {sink.bucket}"
        else:
            continue
        other = first.setdefault(place, entry)
        if other is not entry and not {key, "port", "org", "bucket"} & entry.doubtful:
            hint = f'the feed has one prefix: remove one of "{other.body.get("id")}" and "{entry.body.get("id")}"'
            again = f"{found}, where {other.path} sends the same messages"
            yield Finding(f"{entry.path}.{key}", again, "a place of its own", hint)

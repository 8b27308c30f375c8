"""`metergate completeness`: how complete a day or a month was, against what acceptance of a site asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.options import Config, Json, config_path, one_of, print_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from decimal import Decimal

    from gateway.commands.completeness_report import Report
    from gateway.config.models import Site
    from gateway.intervals.completeness import Completeness
    from gateway.intervals.grid import Grid, Span

REASONS = {
    "meter_off": "the meter did not answer 仪表无应答",
    "link_down": "the link was down or too busy 链路中断",
    "gateway_down": "the gateway did not run 网关停运",
    "config_off": "not configured or disabled 未配置或停用",
    "maintenance": "maintenance 检修",
    "removed_for_verification": "away for verification 送检",
    "rejected": "answered without a good value 数值无效",
    "journal_dropped": "lost from the journal 日志丢失",
}
RUNNING = "still running 统计中"


def completeness(
    day: Annotated[
        str, typer.Option(help="A day, such as 2026-11-22; named by its begin. Default: today.")
    ] = "",
    month: Annotated[str, typer.Option(help="A month, such as 2026-11; named by its begin.")] = "",
    from_: Annotated[str, typer.Option("--from", help="First time, such as 2026-11-22T08:00.")] = "",
    to: Annotated[str, typer.Option("--to", help="Time up to which, itself excluded. Default: now.")] = "",
    meter: Annotated[list[str] | None, typer.Option(help="Only this meter; may be repeated.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Show how complete a day or a month was (完整率), meter by meter, with the reason of everything that is missing.

    From the history, beside a running gateway or without one: run it as the gateway's user or root. What is due, what is
    known, what each destination of the feed acknowledged, against 90 %; days against month, times of day boundaries.
    """
    from gateway.commands.completeness_report import report
    from gateway.commands.doubts import applied_marks, in_doubt
    from gateway.commands.history_file import opened, refuse_damage, scale
    from gateway.config.sinks import FEED_KINDS
    from gateway.config.site_file import load
    from gateway.derive.site_grid import grid_of

    site = load(config_path(config))
    grid = grid_of(site)
    period, span = chosen_span(site, grid, day=day, month=month, from_=from_, to=to)
    with opened(site) as store:
        known = {one.id for one in site.meters}
        meters = (
            None if not meter else {one_of(name, sorted(known), "meter in the site file") for name in meter}
        )
        feeds = [sink.id for sink in site.sinks if isinstance(sink, FEED_KINDS)]
        with scale("reading the history 读取历史") as advance:
            found = report(
                store, grid, site.intervals, span, period, meters=meters, destinations=feeds, advance=advance
            )
    spans = list(in_doubt(applied_marks(site), span, found.meters))
    if json:
        print_json(body(found, grid, period) | {"doubts": spans})
    else:
        show(found, site, grid)
        for line in doubt_lines(spans):
            typer.echo(line)
    refuse_damage(found.unreadable)


def chosen_span(site: Site, grid: Grid, *, day: str, month: str, from_: str, to: str) -> tuple[str, Span]:
    """Return the period asked for: `day`, `month` or "", and where it lies. Raises BadParameter."""
    from gateway.clock import SystemClock
    from gateway.commands.meter_work import time_ns
    from gateway.intervals.grid import Span
    from gateway.model import NS

    zone = site.site.timezone
    if sum(map(bool, (day, month, from_ or to))) > 1:
        raise typer.BadParameter("give a day, a month, or --from and --to", param_hint="--day")
    if from_ or to:
        if not from_:
            raise typer.BadParameter("say from when, such as 2026-11-22T08:00", param_hint="--from")
        first_ns = grid.start_of(time_ns(from_, zone, "--from"))
        last_ns = time_ns(to, zone, "--to") if to else SystemClock().wall_ns()
        span = Span(first_ns, grid.interval(last_ns - 1).end_ns)
        if last_ns <= first_ns:
            raise typer.BadParameter(f"{from_} is not before {to or 'now'}", param_hint="--from")
        return "", span
    if month:
        first_ns = time_ns(f"{month}-{grid.month_day:02}", zone, "--month")
        return "month", grid.month(first_ns + grid.day_start_s * NS)
    if day:
        return "day", grid.day(time_ns(day[:10], zone, "--day") + grid.day_start_s * NS)
    return "day", grid.day(SystemClock().wall_ns())


def body(found: Report, grid: Grid, period: str) -> dict[str, Any]:
    """Return a report as JSON."""
    from gateway.intervals.completeness import BOUNDARY_MAX_S, DEVIATION_MAX_PERCENT, TARGET_PERCENT

    off, error_s = found.consistency
    return {
        "period": period or None,
        "from": grid.iso(found.span.start_ns),
        "to": grid.iso(found.span.end_ns),
        "is_running": found.is_running,
        "until": grid.iso(found.until_ns) if found.until_ns else None,
        "history_from": grid.iso(found.oldest_ns) if found.oldest_ns else None,
        "unreadable_rows": found.unreadable,
        "target_percent": str(TARGET_PERCENT),
        "site": found.site.row() | {"is_ok": _is_ok(found.site.percent, TARGET_PERCENT, at_least=True)},
        "meters": {name: own.row() for name, own in found.meters.items()},
        "uploaded": {
            name: {
                "values": own.values,
                "percent": _text(own.percent),
                "is_ok": _is_ok(own.percent, TARGET_PERCENT, at_least=True),
                "is_whole": own.is_whole,
            }
            for name, own in found.uploaded.items()
        },
        "deviation_percent": {"value": _text(off), "is_ok": _is_ok(off, DEVIATION_MAX_PERCENT)},
        "boundary_error_s": {"value": _text(error_s), "is_ok": _is_ok(error_s, BOUNDARY_MAX_S)},
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _is_ok(value: Decimal | None, limit: Decimal | int, *, at_least: bool = False) -> bool | None:
    if value is None:
        return None
    return value >= limit if at_least else value <= limit


def show(found: Report, site: Site, grid: Grid) -> None:
    """Print a report for people."""
    from gateway.commands.tables import console

    screen = console()
    screen.print(_table(found, site, grid))
    for line in (*_reasons(found), *_verdicts(found, site)):
        screen.print(line, highlight=False, markup=False)


def _table(found: Report, site: Site, grid: Grid) -> Any:
    from gateway.clock import local
    from gateway.commands.grid import Grid as Table
    from gateway.commands.grid import figures

    zone = site.site.timezone
    ends = f"{local(found.span.start_ns, zone)} – {local(found.span.end_ns, zone)}"
    table = Table(
        "meter",
        figures("due"),
        figures("known"),
        figures("%"),
        figures("expected", drop=2),
        figures("received", drop=1),
        figures("good", drop=3),
        figures("revised", drop=5),
        figures("manual", drop=4),
        title=f"Completeness 完整率  {ends}",
    )
    for name, own in found.meters.items():
        table.add_row(name, *_cells(own))
    table.add_row("site 全厂", *_cells(found.site), style="bold")
    return table


def _cells(own: Completeness) -> Iterator[str]:
    yield from (f"{own.due:,}", f"{own.known:,}", _text(own.percent) or "-")
    yield from (f"{n:,}" for n in (own.expected, own.received, own.good, own.revised, own.manual))


def _reasons(found: Report) -> Iterator[str]:
    """Yield why readings are missing, meter by meter."""
    for name, own in found.meters.items():
        gaps = sorted(own.gaps.items(), key=lambda one: -one[1])
        if gaps:
            yield f"{name}: " + "; ".join(f"{count:,} {REASONS.get(why, why)}" for why, count in gaps)


def _verdicts(found: Report, site: Site) -> Iterator[str]:
    from gateway.clock import local
    from gateway.intervals.completeness import BOUNDARY_MAX_S, DEVIATION_MAX_PERCENT, TARGET_PERCENT

    zone = site.site.timezone
    if not found.site.due:
        yield "Nothing was due in this period, or the history does not have it."
    if found.is_running:
        until = f"so far up to {local(found.until_ns, zone)}" if found.until_ns else "nothing has closed yet"
        yield f"{RUNNING}: {until}"
    if found.oldest_ns > found.span.start_ns:
        yield f"The history begins later 历史起点: {local(found.oldest_ns, zone)}"
    yield _verdict("known 采集完整率", found.site.percent, f"≥ {TARGET_PERCENT} %", "%", _is_ok(found.site.percent, TARGET_PERCENT, at_least=True))  # fmt: skip
    for name, own in found.uploaded.items():
        is_ok = _is_ok(own.percent, TARGET_PERCENT, at_least=True)
        yield _verdict(f"uploaded 上传率 {name}", own.percent, f"≥ {TARGET_PERCENT} %", "%", is_ok)
        if not own.is_whole:
            yield f"  The outbox does not go back to the begin of this period: {name} may have more than that."
    off, error_s = found.consistency
    yield _verdict("days against month 日月偏差", off, f"≤ {DEVIATION_MAX_PERCENT} %", "%", _is_ok(off, DEVIATION_MAX_PERCENT))  # fmt: skip
    yield _verdict("time of day boundaries 日统计时间偏差", error_s, f"≤ {BOUNDARY_MAX_S} s", "s", _is_ok(error_s, BOUNDARY_MAX_S))  # fmt: skip


def doubt_lines(spans: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each span in which the instrument of a meter is in doubt."""
    for one in spans:
        until = f"up to, not including, {one['until']}" if one["until"] else "and still"
        name = {"expired": "out of period 超期", "nonconforming": "not conforming 不合格"}[one["state"]]
        yield f"{one['meter']}: instrument {one['instrument']} {name} from {one['since']} {until}: {one['why']}"


def _verdict(what: str, value: Decimal | None, limit: str, unit: str, is_ok: bool | None) -> str:
    if value is None:
        return f"{what}: unknown 未知 ({limit})"
    return f"{what}: {value:f} {unit} ({limit}) {'ok 达标' if is_ok else 'NOT OK 不达标'}"


def reasons(gaps: Mapping[str, int]) -> dict[str, int]:
    """Return every reason of the closed list with its readings, 0 where there are none."""
    return {reason: gaps.get(reason, 0) for reason in REASONS}

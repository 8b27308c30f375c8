"""`metergate capture`: a golden capture of a live meter, to stdout or at the end of a profile."""

from __future__ import annotations

import sys
import tomllib
from typing import TYPE_CHECKING, Any

from gateway import __version__
from gateway.assembly import library
from gateway.clock import SystemClock, local
from gateway.commands.bus_work import execute, politely, progress
from gateway.commands.options import meter_of, print_json
from gateway.commissioning.bus import connect
from gateway.commissioning.capture import capture as make
from gateway.config.links import LineTable
from gateway.config.site_file import load
from gateway.errors import MetergateError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.commissioning.capture import Capture
    from gateway.config.models import MeterConfig, Site

SHOWN_MAX = 8


def capture(
    path: Path, meter_id: str, out: Path | None, *, serial: str, by: str, force: bool, as_json: bool
) -> int:
    """Write a capture and return the exit code. Raises MetergateError where values are doubted."""
    site = load(path)
    meter = meter_of(site, meter_id)
    if not meter.profile:
        raise MetergateError(f"meter {meter.id} has no profile, so nothing says what its bytes mean")
    found = execute(_run(site, meter, serial, by))
    if found.flagged and not force:
        raise MetergateError(
            f"meter {meter.id}: {len(found.flagged)} values are doubted: {_some(found.flagged)}; look at them with "
            f"`metergate read {meter.id}`, correct meter or profile, or take them with --force"
        )
    if out is not None:
        _append(out, found.toml)
    if as_json:
        print_json(_figures(meter, found, out))
        return 0
    if out is None:
        sys.stdout.write(found.toml)
    shown = len(found.golden.expect)
    where = "" if out is None else f", appended to {out}"
    sys.stderr.write(
        f"{shown} channels captured{where}. Compare them with the display before you rely on them.\n"
    )
    if found.left_out:
        sys.stderr.write(f"not in it: {_some(found.left_out)}\n")
    return 0


def _figures(meter: MeterConfig, found: Capture, out: Path | None) -> dict[str, Any]:
    return {
        "meter": meter.id,
        "profile": meter.profile,
        "file": None if out is None else str(out),
        "expect": dict(found.golden.expect),
        "flagged": found.flagged,
        "left_out": found.left_out,
        "toml": found.toml,
    }


async def _run(site: Site, meter: MeterConfig, serial: str, by: str) -> Capture:
    clock = SystemClock()
    profile = library(site).get(meter.profile)
    day = local(clock.wall_ns(), site.site.timezone)[:10]
    number = f"serial {serial}" if serial else "serial not noted"
    source = (
        f"captured from {profile.maker} {profile.model} {number} by {by} on {day}, metergate {__version__}"
    )
    link = site.link(meter.link)
    timeout_s = meter.timeout_s or link.timeout_s
    late_s = link.late_max_s if isinstance(link, LineTable) else 0.0
    with progress() as bar, politely() as stop:
        task = bar.add_task(f"capture {meter.id}", total=None)
        async with connect(site, meter.link, clock) as bus:
            return await make(
                bus,
                meter,
                profile,
                clock,
                source=source,
                timeout_s=timeout_s,
                late_s=late_s,
                told=lambda: bar.update(task, advance=1),
                stopped=stop.is_set,
            )


def _append(out: Path, toml: str) -> None:
    """Put a table at the end of a file that is TOML before and after. Raises MetergateError."""
    before = ""
    try:
        if out.exists():
            before = out.read_text(encoding="utf-8")
            before += "" if before.endswith("\n") or not before else "\n"
        tomllib.loads(before + "\n" + toml)
        with out.open("a", encoding="utf-8") as file:
            file.write(("\n" if before else "") + toml)
    except tomllib.TOMLDecodeError as error:
        raise MetergateError(f"--out {out}: not a TOML file one can append to: {error}") from error
    except FileNotFoundError as error:
        raise MetergateError(
            f"--out {out}: there is no folder {out.parent}: mkdir -p {out.parent}"
        ) from error
    except OSError as error:
        raise MetergateError(f"--out {out}: {error.strerror}; name a file that can be written") from error


def _some(reasons: dict[str, str]) -> str:
    shown = "; ".join(f"{key}: {why}" for key, why in list(reasons.items())[:SHOWN_MAX])
    return shown + (f"; and {len(reasons) - SHOWN_MAX} more" if len(reasons) > SHOWN_MAX else "")

"""What `metergate inspect record` takes down: marks, photographs, and the display beside the gateway's last reading."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from gateway.errors import MetergateError
from gateway.inspection.model import Photo, Shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gateway.config.models import Site
    from gateway.inventory.model import Instrument

PHOTO_BYTES_MAX = 64 * 1024 * 1024
PLACES = 6
LOOK_BACK_NS = 2 * 86_400 * 1_000_000_000  # a reading older than two days says nothing of a display today


class Reading(NamedTuple):
    """A counter as the gateway last read it, in its canonical unit."""

    value: Decimal
    time_ns: int


def ledger_of(instrument: Instrument) -> dict[str, str]:
    """Return what the inventory says of what is looked at on site; "" where it says nothing."""
    ratios = [f"{part.part} {part.ratio}" for part in instrument.chain if part.ratio]
    return {
        "serial": instrument.serial,
        "label": instrument.own_number or instrument.barcode,
        "location": instrument.location,
        "diagram": " ".join(instrument.flows),
        "range": instrument.range,
        "accuracy_class": instrument.accuracy_class,
        "ct_ratio": ", ".join(ratios),
    }


def photographs(files: Iterable[Path], folder: Path | None) -> tuple[Photo, ...]:
    """Return photographs with their hashes; copied into a folder of the inspections under their hash if one is given. Raises MetergateError."""
    from gateway.chained_file import give
    from gateway.file_reading import read_file
    from gateway.state_folder import replace_file

    found = []
    for file in files:
        try:
            content = read_file(file, PHOTO_BYTES_MAX, str(file))
            digest = hashlib.sha256(content).hexdigest()
            kept = ""
            if folder is not None:
                folder.mkdir(exist_ok=True, mode=0o700)
                give(folder)
                kept = f"{digest}{file.suffix.lower()[:8]}"
                replace_file(folder / kept, content)
                give(folder / kept)
        except OSError as error:
            raise MetergateError(f"{error.filename or file}: {error.strerror}") from error
        found.append(Photo(file=file.name, sha256=digest, kept=kept))
    return tuple(found)


def beside(display: str, instrument: Instrument, site: Site, now_ns: int) -> Shown:
    """Return what a display showed beside the gateway's last reading. Raises MetergateError if it is no reading."""
    from gateway.assembly import library
    from gateway.config.reports import reported
    from gateway.display import shown
    from gateway.inspection.display import agreement

    meter = next((one for one in site.meters if one.id == instrument.meter), None)
    if meter is None:
        return Shown(display=display, note="the gateway does not read it")
    counters = [one for one in reported(meter, library(site)) if one.kind == "counter"]
    named = [one for one in counters if not instrument.channel or one.key == instrument.channel]
    if len(named) != 1:
        return Shown(display=display, note="the inventory does not say which counter of its meter it is")
    channel = named[0]
    seen = shown(display, channel.quantity)
    kept, fastest = _kept(site, meter.id, channel.key, now_ns)
    last = _live(site, meter.id, channel.key) or kept
    if last is None:
        return Shown(
            display=display,
            channel=channel.key,
            unit=channel.unit,
            note="the gateway has no reading of the last two days",
        )
    lapse = None if fastest is None else round(fastest * max(now_ns - last.time_ns, 0), PLACES)
    agrees = agreement(seen.value - last.value, seen.digit, lapse)
    return Shown(
        display=display,
        channel=channel.key,
        gateway=f"{last.value:f}",
        gateway_time_ns=last.time_ns,
        difference=f"{seen.value - last.value:f}",
        digit=f"{seen.digit:f}",
        lapse=None if lapse is None else f"{lapse:f}",
        agrees=agrees,
        unit=channel.unit,
        note="" if agrees != "not_seen" else "how far the counter ran on since is not known",
    )


def _live(site: Site, meter: str, key: str) -> Reading | None:
    from gateway.control.server import ask

    try:
        figures = ask(site.gateway.socket_path, "status", values=True)
    except (ConnectionError, MetergateError):
        return None
    value, _unit, flags, time_ns = figures.get("values", {}).get(meter, {}).get(key, (None, "", 0, 0))
    return None if value is None or flags else Reading(Decimal(repr(value)), time_ns)


def _kept(site: Site, meter: str, key: str, now_ns: int) -> tuple[Reading | None, Decimal | None]:
    """Return the last reading of the history, and the most the counter rose in a nanosecond of the last two days."""
    from gateway.commands.history_file import FILE, opened

    if not (site.gateway.state_dir / FILE).exists():
        return None, None
    newest: Reading | None = None
    fastest: Decimal | None = None
    with opened(site) as store:
        for interval in store.intervals(now_ns - LOOK_BACK_NS, meters=[meter]):
            for channel in interval.channels:
                if channel.key != key:
                    continue
                if channel.closing is not None:
                    newest = Reading(channel.closing.reading, channel.closing.time_ns)
                if channel.delta is not None:
                    rate = channel.delta / (interval.end_ns - interval.start_ns)
                    fastest = rate if fastest is None else max(fastest, rate)
    return newest, fastest

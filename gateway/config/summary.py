"""What a good site file amounts to: counts, and warnings that do not stop a start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drivers import profiles
from gateway.clock import SystemClock
from gateway.config.certificate_ends import certificate_warnings
from gateway.config.channels import channels, period_of
from gateway.config.meters import profile_library
from gateway.config.transport import transport_warnings
from gateway.secret_files import credential_file, readable_by_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drivers.profiles import Library, Profile
    from gateway.config.models import MeterConfig, Site

__all__ = ["channels", "period_of", "summary"]

MANUAL_FIRST, MANUAL_HOLDING = 30_001, 40_001
"""What manuals call input and holding register 0. Source: Modicon's numbering, which Modbus manuals keep to."""
CHANNELS_NAMED = 6  # of a warning; `metergate profiles ID` marks them all


def summary(site: Site) -> dict[str, Any]:
    """Return counts of links, meters, channels and sinks, readings per second, the digest, and warnings.

    channels, readings_per_s: of enabled meters.
    """
    library = profile_library(site.gateway.profile_dirs)
    meters = [meter for meter in site.meters if meter.enabled]
    keys = {meter.id: channels(meter, library) for meter in meters}
    rate = sum(1 / period_of(meter, key) for meter in meters for key in keys[meter.id])
    return {
        "gateway": site.gateway.id,
        "links": len(site.links),
        "meters": len(meters),
        "disabled": len(site.meters) - len(meters),
        "channels": sum(map(len, keys.values())),
        "readings_per_s": round(rate, 3),
        "sinks": len(site.sinks),
        "digest": site.digest,
        "warnings": [
            *_warnings(site, meters, library),
            *transport_warnings(site),
            *certificate_warnings(site, SystemClock().wall_ns()),
        ],
    }


def _coarse(profile: Profile, meters: list[MeterConfig], library: Library) -> Iterator[str]:
    """Yield a warning for each counter whose float32 gets coarse, with the meters that are read for it."""
    found: dict[profiles.CoarseCounter, list[str]] = {}
    for meter in meters:
        for counter in profiles.coarse_counters(profile, channels(meter, library), meter.variant):
            found.setdefault(counter, []).append(meter.id)
    for (key, limit, step, unit), ids in found.items():
        yield (
            f"profile {profile.id} (meters {', '.join(ids)}): {key} is a 32-bit float; above {limit.normalize():f} {unit} "
            f"(before ratios) it moves in steps of more than {step.normalize():f} {unit}"
        )


def _sooner_than_new(profile: Profile, meters: list[MeterConfig], library: Library) -> Iterator[str]:
    """Yield a warning for each meter that is read again before its registers can have changed."""
    update_ms = profile.read.update_ms
    if update_ms is None:
        return
    for meter in meters:
        period_s = min(period_of(meter, key) for key in channels(meter, library))
        if 1e3 * period_s < update_ms:
            yield (
                f"meters.{meter.id}: read every {period_s:g} s, but a {profile.id} has new values every {update_ms / 1e3:g} s "
                f'only: the same ones come again; period = "{update_ms / 1e3:g}s" loses nothing'
            )


def _one_source(profile: Profile, meters: list[MeterConfig], library: Library) -> Iterator[str]:
    """Yield a warning that the whole profile, or some of the channels the meters are read for, rest on one source."""
    names = ", ".join(meter.id for meter in meters)
    if profile.shared:  # generic: the site file says what its registers are
        return
    if profile.confidence == "one-source":
        yield f"profile {profile.id} (meters {names}) rests on one source: compare a reading with the display"
    read = {key for meter in meters for key in channels(meter, library)}
    weak = profiles.one_source_channels(profile, (key for key in profile.channels if key in read))
    if weak:
        listed = ", ".join(weak[:CHANNELS_NAMED])
        more = f" and {len(weak) - CHANNELS_NAMED} more" if len(weak) > CHANNELS_NAMED else ""
        yield (
            f"profile {profile.id} (meters {names}): only one source speaks for {listed}{more}: "
            "compare them with the display"
        )


def _manual_addresses(meter: MeterConfig) -> Iterator[str]:
    """Yield a warning for each input whose address looks like a number of a manual (40001 for the first register)."""
    for key, override in meter.override.items():
        at = None if override.input is None else override.input.address
        if at is not None and at >= MANUAL_FIRST:
            first = MANUAL_HOLDING if at >= MANUAL_HOLDING else MANUAL_FIRST
            yield (
                f"meters.{meter.id}.override.{key}.input.address: {at}: is that the address on the wire? A manual's {first} "
                f"is 0 there, so its {at} is {at - first}"
            )


def _warnings(site: Site, meters: list[MeterConfig], library: Library) -> Iterator[str]:
    if not meters:
        yield "no meter is enabled: nothing will be read"
    if not site.sinks:
        yield "no sink: readings stay in the journal"
    for link in site.links:
        if all(meter.link != link.id for meter in meters):
            yield f"links.{link.id}: no enabled meter is on it"
    for profile_id in sorted({meter.profile for meter in meters if meter.profile}):
        profile = library.get(profile_id)
        alike = [meter for meter in meters if meter.profile == profile_id]
        yield from _one_source(profile, alike, library)
        yield from _coarse(profile, alike, library)
        yield from _sooner_than_new(profile, alike, library)
    for meter in meters:
        yield from _manual_addresses(meter)
    for kind, entries in (("links", site.links), ("sinks", site.sinks)):
        for entry in entries:
            for key in ("password_credential", "token_credential"):
                name = getattr(entry, key, "")
                if name and credential_file(name) is None:
                    why = "this process was started without systemd credentials"
                    yield f"{kind}.{entry.id}.{key}: credential {name} not looked for: {why}"
            for key in ("password_file", "token_file"):
                file = getattr(entry, key, None)
                if file is not None and readable_by_all(file):
                    yield f"{kind}.{entry.id}.{key}: every user of this system may read {file}; chmod 600"

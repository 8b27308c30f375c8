"""What a meter of a checked site is read for, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers import profiles

if TYPE_CHECKING:
    from drivers.profiles import Library
    from gateway.config.models import MeterConfig


def channels(meter: MeterConfig, library: Library) -> tuple[str, ...]:
    """Return the channel keys a meter of a checked site is read for."""
    if meter.variables:
        return tuple(meter.variables)
    return profiles.channel_keys(library.get(meter.profile), meter.channels, meter.variant)


def period_of(meter: MeterConfig, key: str) -> float:
    """Return the period of one channel, seconds."""
    override = meter.override.get(key)
    return meter.period_s if override is None or override.period_s is None else override.period_s

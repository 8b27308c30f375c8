"""The ratios of a meter being commissioned: those in force against the plates, and what they do to a display."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from drivers import profiles
from drivers.profiles.ratio import REGISTER_EVIDENCE
from gateway.commissioning.judgements import FAIL, OPEN, Ratio, Step, judge_ratio
from gateway.config.meters import channel_overrides
from gateway.control.errands import Question
from gateway.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drivers.profiles import Profile
    from drivers.registers import RegisterSource
    from gateway.commissioning.bus import Bus
    from gateway.config.models import MeterConfig

TIMEOUT_S = 2.0


async def raw_of(bus: Bus, unit: int, sources: Sequence[RegisterSource]) -> bytes:
    """Return the bytes of some Modbus values, one after another. Raises DeviceError, LinkDown, Busy."""
    asked = tuple((s.function, s.address, s.count) for s in sources)
    answer = await bus.ask(Question("modbus", unit, asked, timeout_s=TIMEOUT_S))
    if any(answer.flags):
        raise DeviceError("not all of it could be read", reason="exception")
    return answer.raw


async def ratios(
    bus: Bus, meter: MeterConfig, profile: Profile | None, plates: Mapping[str, Decimal]
) -> tuple[list[Step], dict[str, Decimal]]:
    """Return a judgement for each ratio in force, read or configured, and the ratios. Raises LinkDown, Busy."""
    if profile is None or not profile.ratios:
        if plates:
            named = ", ".join(plates)
            step = Step("ratio", FAIL, f"{named} on the plates, but this meter is read without any ratio")
        else:
            step = Step("ratio", OPEN, "this meter type has no ratio: values are as the meter sends them")
        return [step], {}
    configured = {name: str(value) for name, value in meter.ratios.items()}
    layout, raw = None, b""
    found = profiles.ratio_layout(profile, meter.id) if profile.protocol == "modbus" else None
    try:
        if found is not None:
            layout, sources = found
            flat = [source for parts in sources for source in parts]  # type: ignore[attr-defined]
            raw = await raw_of(bus, meter.unit or 0, flat)
        values = profiles.ratio_values(profile, layout, raw, configured)
    except DeviceError as error:
        if not configured.keys() >= profile.ratios.keys():
            return [Step("ratio", FAIL, f"the ratio registers cannot be read: {error}")], {}
        values = {name: Decimal(text) for name, text in configured.items()}
    steps = [
        judge_ratio(name, values[name], "site file" if name in configured else "meter", plates.get(name))
        for name in profile.ratios
    ]
    for name in configured:
        own = values.get(name + REGISTER_EVIDENCE)
        if own is not None and own != values[name]:
            text = f"the site file says {values[name]:f}, the meter itself {own:f}: one of them is wrong"
            steps.append(
                Step(f"ratio {name}", FAIL, text, {"meter": f"{own:f}", "site_file": f"{values[name]:f}"})
            )
    steps += [
        Step(
            f"ratio {name}",
            FAIL,
            f"on the plate, but unknown to the profile; it knows {', '.join(profile.ratios)}",
        )
        for name in plates
        if name not in profile.ratios
    ]
    return steps, values


def display_ratios(
    meter: MeterConfig, profile: Profile | None, values: Mapping[str, Decimal]
) -> dict[str, Ratio]:
    """Return channel -> what the gateway multiplies it with; empty where no ratio is in force. values: of `ratios`."""
    if profile is None or not values:
        return {}
    try:
        keys = profiles.channel_keys(profile, meter.channels, meter.variant)
        layout, _ = profiles.compile(
            profile, meter.id, meter.period_s, keys, values, channel_overrides(meter), meter.variant
        )
    except ConfigError:  # a ratio or unit that could not be read; its own step says so
        return {}
    found = {}
    for channel, slot in zip(layout.channels, layout.slots, strict=True):
        factor = Decimal(1)
        for name in profile.channel(channel.key, meter.variant).multiply:
            factor *= values[name]
        steps = [abs(Decimal(part.factor)) for part in slot.parts if not part.type.startswith("f")]
        count = min(steps, default=Decimal(0)) * abs(Decimal(slot.coefficient))
        found[channel.key] = Ratio(factor, Decimal(0) if slot.transform else count)
    return found

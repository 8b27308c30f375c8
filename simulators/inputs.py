"""Inputs of simulated I/O modules: the register and meaning a site file gives a channel, put into the profile's tables.

Apart from drivers.profiles on purpose, and in exact fractions: the two sides of the wire must agree by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulators.measures import exact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction


def with_inputs(profile: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a profile whose inputs are ordinary channels; those the module does not have are left out.

    inputs: channel -> the table `input` of the site file (docs/how-to/io-modules.md).
    """
    channels = {
        key: channel | _placed(inputs[key]) if channel.get("input") else channel
        for key, channel in profile["channels"].items()
        if not channel.get("input") or key in inputs
    }
    return {**profile, "channels": channels}


def _placed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return register, scale and offset of one input: value = number x factor + offset."""
    place = {name: given[name] for name in ("address", "type", "function", "order") if name in given}
    if "pulses_per_unit" in given:
        return place | {
            "factor": 1 / exact(given["pulses_per_unit"]),
            "offset": exact(given.get("base", 0)),
        }
    (low, high), (raw_low, raw_high) = map(exact, given["range"]), map(exact, given["raw"])
    slope: Fraction = (high - low) / (raw_high - raw_low)
    return place | {"factor": slope, "offset": low - raw_low * slope}

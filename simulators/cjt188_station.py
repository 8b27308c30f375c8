"""Simulated CJ/T 188 meters (water, heat, gas), from the profile's TOML alone: shares nothing with drivers.cjt188."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulators.dlt645_station import Items, framed, heard, item_of, local, low_first
from simulators.encode import DoesNotFit
from simulators.measures import exact
from simulators.station import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.interfaces import Clock
    from simulators.site import SimulatedMeter, Site

DELAY_S = 0.02
ANYBODY = [0xAA] * 7
ADDRESS_WANTED = [0x03, 3, 0x81, 0x0A]
"""Asked of address AA…AA, type AA or the meter's own. Source: CJ/T 188-2004, control code 03H (读地址), by public articles."""


def read_profile(
    profile: Mapping[str, Any],
    *,
    ratios: Mapping[str, str],
    units: Mapping[str, str],
    variant: str = "",
    channels: Sequence[str] = (),
) -> Items:
    """Return what a meter of this type shows. units: channel -> unit its unit byte says, else the first the profile knows.

    Raises KeyError or DoesNotFit for what cannot be served.
    """
    read = profile["read"]
    values = {name: exact(ratios.get(name, "1")) for name in profile.get("ratios", {})}
    said, unit_bytes = _units(profile, units)
    items = []
    for key, channel in profile["channels"].items():
        if channel.get("variants") and variant not in channel["variants"]:
            continue
        unit = said[key] if channel["unit"].startswith("units.") else channel["unit"]
        items.append(item_of(key, channel, unit, values, channel["at"]))
    meter_type = read.get("meter_types", {}).get(variant, read["meter_type"])
    return Items(tuple(items), read, unit_bytes, meter_type, max(read["lengths"]))


def _units(profile: Mapping[str, Any], units: Mapping[str, str]) -> tuple[dict[str, str], dict[int, int]]:
    """Return (channel -> unit, byte -> unit code)."""
    said: dict[str, str] = {}
    held: dict[int, int] = {}
    for name, rule in profile.get("units", {}).items():
        keys = [key for key, channel in profile["channels"].items() if channel["unit"] == f"units.{name}"]
        wanted = {units[key] for key in keys if key in units} or {next(iter(rule["map"].values()))}
        code = next((code for code, unit in rule["map"].items() if {unit} == wanted), None)
        if code is None:
            raise DoesNotFit(f"{profile['id']}: units.{name} cannot say {', '.join(sorted(wanted))}")
        held[rule["at"]] = int(code)
        said |= dict.fromkeys(keys, rule["map"][code])
    return said, held


class Cjt188Station:
    """One meter. unit_bytes: byte -> what it holds, may be changed; low_first_di: answers only identifiers sent low byte first.

    keeps_ser: the reply carries the request's serial number. clock_offset_s: how far its clock is ahead.
    any_type: it hears the meter type AA too when it is asked for its address.
    """

    def __init__(self, site: Site, meter: SimulatedMeter, clock: Clock) -> None:
        """meter: with an address of 14 digits."""
        shown = meter.map
        assert isinstance(shown, Items)
        self.unit_bytes = dict(shown.unit_bytes)
        self.low_first_di = False
        self.keeps_ser = True
        self.any_type = True
        self.clock_offset_s = 0.0
        self.requests = 0
        self._site, self._meter, self._clock, self._shown = site, meter, clock, shown
        self._start = bytes([0x68, shown.meter_type, *low_first(meter.plan.address)])
        self._delay_s = DELAY_S if meter.plan.delay_s is None else meter.plan.delay_s

    def hear(self, request: bytes) -> Reply | None:
        """Return the reply to a read request for this meter, or for the address of whoever is there; None for anything else."""
        told = self._told(request)
        if told is not None:
            return told
        body = heard(request, self._start)
        if body is None or body[0] != 0x01 or body[1] != 3:
            return None
        di = (body[3] << 8 | body[2]) if self.low_first_di else (body[2] << 8 | body[3])
        if di != self._shown.read["di"]:
            return None
        self.requests += 1
        field = bytearray(self._shown.length)
        field[:2], field[2] = body[2:4], body[4] if self.keeps_ser else 0
        state = self._meter.state(self._site.seconds(self._site.measured_ns(self._clock.wall_ns())))
        for item in self._shown.registers:
            value, counter = state[item.key]
            field[item.place : item.place + item.size] = item.encode(value, counter=counter)[0]
        for place, code in self.unit_bytes.items():
            field[place] = code
        self._put_clock(field)
        return Reply(framed(self._start, 0x81, bytes(field)), self._delay_s)

    def _told(self, request: bytes) -> Reply | None:
        """Return type and address, if they are asked of whoever is there."""
        for meter_type in (self._shown.meter_type, 0xAA)[: 1 + self.any_type]:
            body = heard(request, bytes([0x68, meter_type, *ANYBODY]))
            if body is None or body[:2] != bytes(ADDRESS_WANTED[:2]):
                continue
            wanted = ADDRESS_WANTED[2:][:: -1 if self.low_first_di else 1]
            if list(body[2:4]) == wanted:
                self.requests += 1
                return Reply(framed(self._start, 0x83, body[2:]), self._delay_s)
        return None

    def refuse(self, request: bytes, code: int) -> Reply | None:
        """Return a refusal that carries `code`, None for a frame that is not for this meter."""
        body = heard(request, self._start)
        if body is None:
            return None
        return Reply(framed(self._start, 0xC1, bytes([body[-1], code & 0xFF, code >> 8])), self._delay_s)

    def _put_clock(self, field: bytearray) -> None:
        at = self._shown.read.get("clock_at")
        if at is not None:
            now = local(self._clock.wall_ns(), self.clock_offset_s)
            field[at : at + 7] = bytes(low_first(f"{now:%Y%m%d%H%M%S}"))


def station(site: Site, meter: SimulatedMeter, clock: Clock) -> Cjt188Station:
    """Return the meter as a station of a line."""
    return Cjt188Station(site, meter, clock)

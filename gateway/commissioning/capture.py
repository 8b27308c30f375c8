"""A golden capture from a live meter: the bytes it answers, and the exact values its profile makes of them.

Of Modbus these are registers, of DL/T 645 and CJ/T 188 whole frames (`capture_frames`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from drivers.modbus.plan import plan
from drivers.profiles import ratio_layout, stand_ins
from drivers.profiles.compile import compile, text_of
from drivers.profiles.golden import decode_golden
from drivers.profiles.identified import IDENTIFIED
from drivers.profiles.model import BIT_FUNCTIONS, BlockTable, GoldenTable
from drivers.registers import ReadLimits
from gateway.clock import sleep_for
from gateway.commissioning.capture_frames import REBUILT, read_frames
from gateway.commissioning.identified_reads import IdentifiedReads
from gateway.commissioning.reads import MeterReads
from gateway.config.meters import channel_overrides, limits_of
from gateway.errors import ConfigError, DeviceError, MetergateError
from gateway.model import Flag

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from drivers.profiles import Profile
    from drivers.profiles.golden import Decoded
    from gateway.commissioning.bus import Bus
    from gateway.config.models import MeterConfig
    from gateway.interfaces import Clock
    from gateway.layout import Layout
    from gateway.model import Channel

READS_MAX = 2000


class Capture(NamedTuple):
    """What was captured. flagged: channel -> why its value is doubted; left_out: channel -> why it is not in it."""

    golden: GoldenTable
    flagged: dict[str, str]
    left_out: dict[str, str]
    toml: str


class _Blocks:
    """The answers of one capture, each block once."""

    def __init__(self, reads: MeterReads, clock: Clock, limits: ReadLimits, told: Callable[[], None]) -> None:
        self._reads, self._clock, self._limits, self._told = reads, clock, limits, told
        self.found: dict[tuple[int, int, int], bytes] = {}

    async def read(self, layout: Layout, sources: tuple[Hashable, ...], left_out: dict[str, str]) -> None:
        """Read the blocks of a layout; a block that is refused is read again channel by channel."""
        for block in plan(sources, self._limits, layout).blocks:
            error = await self._block(block.function, block.address, block.count)
            if error is None:
                continue
            for i in block.channels:
                key = layout.channels[i].key
                if len(block.channels) == 1 or not await self._alone(sources[i]):
                    left_out[key] = str(error)

    async def _alone(self, source: Hashable) -> bool:
        parts: Iterable[object] = source  # type: ignore[assignment]
        for part in parts:
            function, address, count = part.function, part.address, part.count  # type: ignore[attr-defined]
            if await self._block(function, address, count) is not None:
                return False
        return True

    async def _block(self, function: int, address: int, count: int) -> DeviceError | None:
        raw = await self._reads.registers(function, address, count)
        if self._limits.pause_ms:
            await sleep_for(self._clock, self._limits.pause_ms / 1000)
        self._told()
        if isinstance(raw, DeviceError):
            return raw
        self.found[function, address, count] = _packed(raw) if function in BIT_FUNCTIONS else raw
        return None

    def tables(self) -> tuple[BlockTable, ...]:
        """Return the blocks as a profile has them."""
        return tuple(
            BlockTable(function=function, address=address, hex=raw.hex())
            for (function, address, _), raw in sorted(self.found.items())
        )


def _packed(raw: bytes) -> bytes:
    """Return bits, one register each, as the wire packs them: the first bit lowest."""
    packed = bytearray((len(raw) // 2 + 7) // 8)
    for i, bit in enumerate(raw[1::2]):
        packed[i // 8] |= (bit & 1) << i % 8
    return bytes(packed)


async def capture(
    bus: Bus,
    meter: MeterConfig,
    profile: Profile,
    clock: Clock,
    *,
    source: str,
    timeout_s: float,
    late_s: float = 0.0,
    told: Callable[[], None] = lambda: None,
    stopped: Callable[[], bool],
) -> Capture:
    """Return what a live meter shows in every channel of its profile. Raises MetergateError, LinkDown, Busy, Stopped.

    source: where the capture is from, for the profile. late_s: how late an answer may come on this link.
    """
    left_out: dict[str, str] = {}
    layout, sources = _layout(meter, profile, left_out)
    body: dict[str, object]
    if profile.protocol in IDENTIFIED:
        reads = IdentifiedReads(
            bus, profile.protocol, meter.address, clock,
            timeout_s=timeout_s, late_s=late_s, reads_max=READS_MAX, told=told, stopped=stopped,
        )  # fmt: skip
        settings = limits_of(meter, profile)
        frames = await read_frames(reads, settings, layout, sources, left_out)
        body = {"frames": list(frames), "source": f"{source}; {REBUILT}"}
    else:
        blocks = await _blocks(
            bus, meter, profile, layout, sources, left_out, clock, timeout_s, told, stopped
        )
        body = {"blocks": [block.model_dump() for block in blocks], "source": source}
    _leave_out_gated(profile, layout, left_out)
    keys = [channel.key for channel in layout.channels if channel.key not in left_out]
    if not keys:
        why = next(iter(left_out.values()), "no channel")
        raise MetergateError(f"meter {meter.id}: nothing could be captured: {why}")
    golden = _golden(meter, profile, keys, body)
    decoded = decode_golden(profile, golden)
    expect = {key: "absent" if d.exact is None else text_of(d.exact) for key, d in decoded.items()}
    golden = golden.model_copy(update={"expect": expect})
    channels = {channel.key: channel for channel in layout.channels}
    flagged = {key: why for key, d in decoded.items() if (why := _doubt(d, channels[key]))}
    return Capture(golden, flagged, left_out, to_toml(golden))


async def _blocks(
    bus: Bus,
    meter: MeterConfig,
    profile: Profile,
    layout: Layout,
    sources: tuple[Hashable, ...],
    left_out: dict[str, str],
    clock: Clock,
    timeout_s: float,
    told: Callable[[], None],
    stopped: Callable[[], bool],
) -> tuple[BlockTable, ...]:
    """Return the registers of a Modbus meter. Raises MetergateError, LinkDown, Busy, Stopped."""
    limits = limits_of(meter, profile)
    if profile.protocol != "modbus" or meter.unit is None or not isinstance(limits, ReadLimits):
        raise MetergateError(
            f"meter {meter.id}: captures are made of registers and frames; {profile.protocol} has neither: "
            f"`metergate read {meter.id}` shows its raw bytes"
        )
    reads = MeterReads(bus, meter.unit, clock, timeout_s=timeout_s, reads_max=READS_MAX, stopped=stopped)
    if limits.wake:
        await reads.registers(*_first(sources))
        reads = MeterReads(bus, meter.unit, clock, timeout_s=timeout_s, reads_max=READS_MAX, stopped=stopped)
    blocks = _Blocks(reads, clock, limits, told)
    small = ratio_layout(profile, meter.id)
    if small is not None:
        await blocks.read(*small, {})
    await blocks.read(layout, sources, left_out)
    return blocks.tables()


def _leave_out_gated(profile: Profile, layout: Layout, left_out: dict[str, str]) -> None:
    """Leave out what nobody can judge: values whose status channel has no value."""
    for channel in layout.channels:
        gate = profile.channels[channel.key].valid_when
        if gate is not None and gate.channel in left_out:
            left_out.setdefault(channel.key, f"{gate.channel}, which says whether it counts, is not in it")


def _first(sources: tuple[Hashable, ...]) -> tuple[int, int, int]:
    part = sources[0][0]  # type: ignore[index]
    return part.function, part.address, part.count


def _layout(
    meter: MeterConfig, profile: Profile, left_out: dict[str, str]
) -> tuple[Layout, tuple[Hashable, ...]]:
    """Return the layout of all channels that can be read with what the site file says, ratios aside."""
    overrides, ratios = channel_overrides(meter), stand_ins(profile)
    keys = []
    for key in profile.keys(meter.variant):
        gate = profile.channels[key].valid_when
        try:
            own = (key,) if gate is None or gate.channel == key else (key, gate.channel)
            compile(profile, meter.id, 0.0, own, ratios, overrides, meter.variant)
        except ConfigError as error:
            left_out[key] = str(error.findings[0])
        else:
            keys.append(key)
    if not keys:
        raise MetergateError(f"meter {meter.id}: nothing can be read: {next(iter(left_out.values()), '')}")
    return compile(profile, meter.id, 0.0, keys, ratios, overrides, meter.variant)


def _golden(
    meter: MeterConfig, profile: Profile, keys: list[str], captured: Mapping[str, object]
) -> GoldenTable:
    overrides = channel_overrides(meter)
    body: dict[str, object] = {
        "name": f"captured: {profile.model}",
        "constructed": False,
        "variant": meter.variant,
        "ratios": {name: str(value) for name, value in meter.ratios.items()},
        "units": {key: o.unit for key, o in overrides.items() if o.unit and key in keys},
        "inputs": {key: o.input for key, o in overrides.items() if o.input is not None and key in keys},
        "expect": dict.fromkeys(keys, "absent"),
    }
    return GoldenTable.model_validate(body | dict(captured))


def _doubt(decoded: Decoded, channel: Channel) -> str:
    """Return why a value is doubted, "" if it is not."""
    if decoded.flags:
        return " ".join(flag.name or "" for flag in Flag if decoded.flags & flag)
    below = channel.low is not None and decoded.value < channel.low
    above = channel.high is not None and decoded.value > channel.high
    return f"RANGE: {decoded.value:g} {decoded.unit}" if below or above else ""


def to_toml(golden: GoldenTable) -> str:
    """Return a `[[golden]]` table as text."""
    lines = ["[[golden]]", f"name = {_text(golden.name)}", f"constructed = {str(golden.constructed).lower()}"]
    lines.append(f"source = {_text(golden.source)}")
    if golden.variant:
        lines.append(f"variant = {_text(golden.variant)}")
    ratios = {name: format(value, "f") for name, value in golden.ratios.items()}
    for name, table in (("ratios", ratios), ("units", dict(golden.units))):
        if table:
            lines.append(f"{name} = {_inline(table)}")
    if golden.frames:
        shown = (bytes.fromhex(frame).hex(" ").upper() for frame in golden.frames)
        lines += ["frames = [", *(f'    "{frame}",' for frame in shown), "]"]
    else:
        blocks = (
            f'{{ function = {b.function}, address = {b.address}, hex = "{b.hex}" }}' for b in golden.blocks
        )
        lines += ["blocks = [", *(f"    {block}," for block in blocks), "]"]
    lines.append("[golden.expect]")
    lines += [f"{key} = {_text(value)}" for key, value in golden.expect.items()]
    for key, given in golden.inputs.items():
        lines.append(f"[golden.inputs.{key}]")
        body: Mapping[str, object] = given.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        lines += [
            f"{name} = {_text(value) if isinstance(value, str) else str(value).lower()}"
            for name, value in body.items()
        ]
    return "\n".join(lines) + "\n"


def _inline(table: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f"{key} = {_text(value)}" for key, value in table.items()) + " }"


def _text(value: str) -> str:
    """Return a TOML basic string."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'

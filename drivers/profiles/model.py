"""The tables of a profile as frozen objects; contract: docs/specs/profile.md.

Parsing only: what one table alone can say is checked here, what several say together in `drivers.profiles.check`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Mapping
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Annotated, Literal, NamedTuple

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from drivers.registers import ReadLimits, RegisterSource
from gateway import wire
from gateway.config.inputs import InputConfig
from gateway.config.values import unusable
from gateway.layout import Part

CONFIGURED = "configured"
"""In place of a unit or reference: the device's menu decides, the site file must say."""
UNITS = "units."
"""What a unit begins with that a register says: `unit = "units.volume"` is `[units.volume]`."""
BIT_FUNCTIONS = (1, 2)
REGISTERS_UNKNOWN = 64  # read at most this many where the maker names no limit
_ADJUSTED_MAX = 40


def _decimal(value: object) -> Decimal:
    """Return a decimal from text or an integer; a TOML float has lost digits already."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        if number.is_finite() and abs(number.adjusted()) < _ADJUSTED_MAX:
            return number
    raise unusable('a decimal in quotes, such as "0.1"')


def _positive(value: object) -> Decimal:
    number = _decimal(value)
    if number <= 0:
        raise unusable('a decimal above 0 in quotes, such as "0.1"')
    return number


def _id(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", value):
        near = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:64].rstrip("-")
        raise unusable(
            "1 to 64 of a-z, 0-9 and -, not beginning with -, as the file is named",
            hint=f'write "{near}" and name the file {near}.toml' if near and value.isascii() else "",
        )
    return value


def _hex(value: object) -> str:
    """Return hexadecimal digits in lower case without spaces."""
    if isinstance(value, str):
        try:
            return bytes.fromhex(value).hex()
        except ValueError:
            pass
    raise unusable('hexadecimal bytes, most significant first, such as "ffc00000"')


_TEXT = PlainSerializer(str, return_type=str)
DecimalText = Annotated[Decimal, BeforeValidator(_decimal), _TEXT]
Positive = Annotated[Decimal, BeforeValidator(_positive), _TEXT]
Hex = Annotated[str, BeforeValidator(_hex)]
Texts = Annotated[tuple[str, ...], Field(strict=False)]
Address = Annotated[int, Field(ge=0, le=65535)]
Function = Annotated[int, Field(ge=1, le=4)]
Identifier = Annotated[int, Field(ge=0, le=0xFFFF_FFFF)]
Byte = Annotated[int, Field(ge=0, le=255)]
Words = Annotated[str, Field(min_length=1)]
Code = Annotated[str, Field(pattern=r"^(0|-?[1-9][0-9]{0,9})$")]


class Table(BaseModel):
    """One table of a profile: unknown keys refused, nothing converted silently, nothing changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class SerialTable(Table):
    """`[serial]`: factory default, information."""

    baud: int | None = None
    parity: Literal["N", "E", "O"] = "N"
    stop: int = 1
    note: str = ""


class ReadTable(Table):
    """`[read]`: how this meter type may be asked."""

    function: Function | None = None
    function_alt: Function | None = None
    doc_offset: int = 0
    order: str = "ABCD"
    type: str = ""
    registers_max: Annotated[int, Field(ge=1, le=125)] | None = None
    align: Annotated[int, Field(ge=1, le=125)] = 1
    split: Literal["merge", "whole_values", "single"] = "merge"
    holes: Literal["zero", "error", "unknown"] = "unknown"
    pause_ms: Annotated[int, Field(ge=0)] = 0
    update_ms: int | None = None
    wake: bool = False
    di: Identifier | None = None
    meter_type: Byte | None = None
    meter_types: Mapping[str, Byte] = {}
    lengths: Annotated[tuple[Byte, ...], Field(strict=False)] = ()
    ser: Literal["echoed", "ignored"] = "echoed"
    preamble: Annotated[int, Field(ge=0, le=16)] = 4
    clock_at: Byte | None = None
    utc_offset_min: Annotated[int, Field(ge=-720, le=840)] = 480


class RatioTable(Table):
    """`[ratios.<name>]`: a factor read from the meter at connecting, or typed into the site file."""

    address: Address | None = None
    type: str = ""
    function: Function | None = None
    order: str = ""
    factor: Positive = Decimal(1)
    as_: Literal["factor", "exp10"] = Field(default="factor", alias="as")
    exponent_offset: int = 0
    configured: bool = False
    note: str = ""


class UnitTable(Table):
    """`[units.<name>]`: a register of the meter that says in which unit it counts."""

    address: Address | None = None
    at: Byte | None = None
    type: str = ""
    function: Function | None = None
    order: str = ""
    map: Annotated[Mapping[Code, str], Field(min_length=1)] = Field(
        description="what the register holds -> unit"
    )
    note: str = ""


class DetectTable(Table):
    """`[[detect]]`: a read that tells this meter type, its mode or its variant from others."""

    address: Address = Field(description="wire address")
    type: str = ""
    function: Function | None = None
    order: str = ""
    equals: int | None = None
    among: Annotated[tuple[int, ...], Field(strict=False)] = ()
    note: Words = Field(description="what it tells, and what to do if it does not fit")


class GateTable(Table):
    """`valid_when`: the value counts only while (channel & mask) == equals."""

    channel: str = Field(description="key of the status channel")
    mask: Annotated[int, Field(ge=1, lt=1 << 64)] = (1 << 64) - 1
    equals: Annotated[int, Field(ge=0, lt=1 << 64)] = Field(description="what the masked status holds then")
    flag: Literal["device", "maintenance"] = "device"


class ProbeTable(Table):
    """`[probe]`: the one read that proves this is the right meter."""

    address: Address = Field(description="wire address of a value whose range is known")
    type: str = ""
    function: Function | None = None
    order: str = ""
    factor: DecimalText = Decimal(1)
    low: float = Field(description="lowest value that fits this meter")
    high: float = Field(description="highest value that fits this meter")
    unit: str = Field(description="unit of low and high")
    note: str = ""


class PartTable(Table):
    """One value of a channel of several."""

    address: Address = Field(description="wire address")
    type: str = ""
    order: str = ""
    factor: DecimalText = Decimal(1)


class Place(Table):
    """What a variant may say differently of a channel: where the value lies and how it is scaled."""

    address: Address | None = None
    id: str = ""
    di: Identifier | None = None
    at: Byte | None = None
    format: str = ""
    signed: bool = False
    frozen: Identifier | None = None
    frozen_at: Byte = 0
    type: str = ""
    function: Function | None = None
    order: str = ""
    factor: DecimalText = Decimal(1)
    offset: DecimalText = Decimal(0)
    multiply: Texts = ()
    parts: Annotated[tuple[PartTable, ...], Field(strict=False)] = ()
    modulus: Positive | None = None
    modulus_raw: Positive | None = None
    note: str = ""


class ChannelTable(Place):
    """`[channels.<key>]`: one quantity of the meter."""

    quantity: str = Field(description="a quantity of the vocabulary (docs/reference/quantities.md)")
    unit: str = Field(description='unit on the wire, or "configured" where the device\'s menu decides')
    transform: str = ""
    sentinels: Annotated[tuple[Hex, ...], Field(strict=False)] | None = None
    valid_when: GateTable | None = None
    input: Literal["", "pulses", "loop"] = ""
    reference: str = ""
    variants: Texts = ()
    alternatives: Mapping[str, Place] = {}
    low: float | None = None
    high: float | None = None
    rate_max: Annotated[float, Field(gt=0)] | None = None
    report: bool | None = None
    confidence: Literal["", "one-source", "two-sources"] = ""


class BlockTable(Table):
    """Bytes of one answer inside a golden capture; for functions 1 and 2 packed bits, first bit lowest."""

    function: Function = Field(description="function code 1..4")
    address: Address = Field(description="wire address of the first register")
    hex: Hex = Field(description="bytes as the wire carries them")


class GoldenTable(Table):
    """`[[golden]]`: bytes and the exact values they mean."""

    name: Words = Field(description="what it shows")
    constructed: bool = Field(description="true unless read from hardware")
    source: str = ""
    variant: str = ""
    ratios: Mapping[str, Positive] = {}
    units: Mapping[str, str] = {}
    inputs: Mapping[str, InputConfig] = {}
    blocks: Annotated[tuple[BlockTable, ...], Field(strict=False)] = ()
    frames: Annotated[tuple[Hex, ...], Field(strict=False)] = ()
    expect: Mapping[str, str] = Field(
        description='channel -> exact canonical decimal, or "absent"', min_length=1
    )


class Resolved(NamedTuple):
    """One part of a channel with every default filled in."""

    part: Part
    source: RegisterSource


SmallTable = RatioTable | UnitTable | DetectTable | ProbeTable
"""One register value that is no channel."""


class Profile(Table):
    """A meter type."""

    version: Literal[1] = Field(alias="schema", description="version of the profile format, 1")
    id: Annotated[str, AfterValidator(_id)] = Field(description="id, same as the file's name")
    maker: Words = Field(description="who makes it")
    model: Words = Field(description="model name")
    also: Texts = ()
    medium: str = Field(description="what it measures")
    protocol: str = Field(description="modbus, dlt645, cjt188 or opcua")
    confidence: Literal["one-source", "two-sources"] = Field(description="how well the map is supported")
    sources: Annotated[tuple[Words, ...], Field(strict=False, min_length=1)] = Field(description="citations")
    doubts: Texts = ()
    quirks: Texts = ()
    variants: Mapping[str, str] = {}
    default: Texts = ()
    serial: SerialTable | None = None
    unit_id: Annotated[int, Field(ge=0, le=255)] | None = None
    shared: bool = False
    read: ReadTable = ReadTable()
    sentinels: Mapping[str, Annotated[tuple[Hex, ...], Field(strict=False)]] = {}
    ratios: Mapping[str, RatioTable] = {}
    units: Mapping[str, UnitTable] = {}
    detect: Annotated[tuple[DetectTable, ...], Field(strict=False)] = ()
    probe: ProbeTable | None = None
    no_probe: str = ""
    channels: Annotated[Mapping[str, ChannelTable], Field(min_length=1)] = Field(
        description="what can be read"
    )
    golden: Annotated[tuple[GoldenTable, ...], Field(strict=False)] = ()

    @cached_property
    def digest(self) -> str:
        """Return 12 hexadecimal digits that stand for everything the profile says (comments and spacing aside)."""
        body = self.model_dump(
            mode="json", by_alias=True, exclude_defaults=True
        )  # so a new key changes no old profile
        return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]

    @property
    def limits(self) -> ReadLimits:
        """Return what a driver may ask of this meter type."""
        read = self.read
        return ReadLimits(
            read.registers_max or REGISTERS_UNKNOWN,
            read.align,
            read.split,
            read.holes,
            read.pause_ms,
            read.wake,
        )

    def settings(self, variant: str = "") -> Hashable:
        """Return what goes into `Poll.settings`: `limits`, or how a meter that is asked by identifier may be asked."""
        from drivers.profiles.identified import IDENTIFIED, settings

        return settings(self, variant) if self.protocol in IDENTIFIED else self.limits

    def keys(self, variant: str = "") -> tuple[str, ...]:
        """Return the channels a variant has ("" is the ordinary meter), in file order."""
        return tuple(
            key
            for key, channel in self.channels.items()
            if not channel.variants or variant in channel.variants
        )

    def channel(self, key: str, variant: str = "") -> ChannelTable:
        """Return a channel as this variant has it. Raises KeyError."""
        channel = self.channels[key]
        other = channel.alternatives.get(variant)
        if other is None:
            return channel
        return channel.model_copy(update={name: getattr(other, name) for name in other.model_fields_set})

    def resolve(self, channel: ChannelTable | SmallTable) -> tuple[Resolved, ...]:
        """Return the parts of a Modbus value with every default filled in.

        Raises KeyError on a type that is not one of `wire.TYPES`.
        """
        function = channel.function or self.read.function or 0
        order = channel.order or self.read.order
        rows = [(p.address, p.type, p.order or order, p.factor) for p in getattr(channel, "parts", ())]
        if not rows:
            rows = [(channel.address or 0, channel.type, order, Decimal(1))]
        resolved = []
        for address, type_name, part_order, factor in rows:
            name = type_name or self.read.type
            count = 1 if function in BIT_FUNCTIONS else wire.TYPES[name].size // 2
            part = Part(name, part_order, format(factor, "f"))
            resolved.append(Resolved(part=part, source=RegisterSource(function, address, count)))
        return tuple(resolved)

"""Golden captures: what a profile makes of the bytes it carries, by the way every reading goes."""

from __future__ import annotations

from array import array
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, NamedTuple

from drivers.profiles.compile import ChannelOverride, compile, with_status
from drivers.profiles.golden_frames import gather_frames
from drivers.profiles.identified import IDENTIFIED
from drivers.profiles.model import BIT_FUNCTIONS, CONFIGURED
from drivers.profiles.ratio import ratio_layout, ratio_values
from gateway.errors import ConfigError, Finding, MetergateError
from gateway.model import ABSENT

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from drivers.profiles.model import GoldenTable, Profile
    from drivers.registers import RegisterSource


class Decoded(NamedTuple):
    """One channel of a capture: exactly, as float64 column (NaN if absent), with its flags and canonical unit."""

    exact: Decimal | None
    value: float
    flags: int
    unit: str


def decode_golden(profile: Profile, golden: GoldenTable) -> dict[str, Decoded]:
    """Return every expected channel as the gateway reads it.

    Raises ConfigError naming a register or identifier that is read but not in the capture, and what `compile` and
    `ratio_values` raise.
    """
    small = ratio_layout(profile, "golden")
    configured = {name: format(value, "f") for name, value in golden.ratios.items()}
    if small is None or {channel.key for channel in small[0].channels} <= set(configured):
        ratios = ratio_values(profile, None, b"", configured)
    else:
        ratios = ratio_values(profile, small[0], _raw(profile, golden, small[1]), configured)
    overrides = {
        key: ChannelOverride(
            unit=golden.units.get(key, ""),
            reference=_reference(profile, key),
            input=golden.inputs.get(key),
        )
        for key in golden.expect
    }
    keys = with_status(profile, tuple(golden.expect))
    layout, sources = compile(profile, "golden", 0.0, keys, ratios, overrides, golden.variant)
    raw = _raw(profile, golden, sources)
    flags = array("H", layout.no_flags)
    values = layout.decode(raw, flags)
    return {
        channel.key: Decoded(
            None if flags[i] & ABSENT else layout.exact(raw, i), values[i], flags[i], channel.unit
        )
        for i, channel in enumerate(layout.channels)
        if channel.key in golden.expect
    }


def verify(profile: Profile) -> list[Finding]:
    """Return a finding for each expected value the profile does not make of its capture's bytes."""
    findings: list[Finding] = []
    for i, golden in enumerate(profile.golden, 1):
        findings += _mismatches(profile, golden, f"golden[{i}]")
    return findings


def _mismatches(profile: Profile, golden: GoldenTable, path: str) -> list[Finding]:
    findings, failures = [], []
    for key, text in golden.expect.items():
        try:
            wanted = None if text == "absent" else Decimal(text)
        except InvalidOperation:
            wanted = Decimal("NaN")
        if wanted is not None and not wanted.is_finite():
            findings.append(Finding(f"{path}.expect.{key}", f'"{text}"', 'a decimal, or "absent"'))
            continue
        try:
            exact = decode_golden(profile, golden.model_copy(update={"expect": {key: text}}))[key].exact
        except MetergateError as error:
            failures.append((key, error))
            continue
        if exact != wanted:
            found = "absent" if exact is None else format(exact, "f")
            hint = f"correct channels.{key} (address, type, order, factor, unit) or the capture"
            findings.append(Finding(f"{path}.expect.{key}", found, text, hint))
    if len(failures) > 1 and len({str(error) for _, error in failures}) == 1:  # a ratio all of them need
        return [*findings, _undecodable(f"{path}.blocks", failures[0][1])]
    return findings + [_undecodable(f"{path}.expect.{key}", error) for key, error in failures]


def _undecodable(path: str, error: MetergateError) -> Finding:
    if not isinstance(error, ConfigError):
        return Finding(path, str(error), "bytes that can be decoded")
    first = error.findings[0]
    found = (
        f"{first.found} in its blocks" if first.path.startswith("golden ") else f"{first.path}: {first.found}"
    )
    return Finding(path, found, first.expected, first.suggestion)


def _reference(profile: Profile, key: str) -> str:
    return "as the capture's meter" if profile.channels[key].reference == CONFIGURED else ""


def _registers(function: int, address: int, body: bytes) -> Iterable[tuple[tuple[int, int], bytes]]:
    """Yield each register's (or bit's) place and two bytes."""
    if function in BIT_FUNCTIONS:
        for i in range(8 * len(body)):
            yield (function, address + i), bytes((0, body[i // 8] >> i % 8 & 1))
    else:
        for i in range(0, len(body), 2):
            yield (function, address + i // 2), body[i : i + 2]


def _raw(profile: Profile, golden: GoldenTable, sources: Iterable[Hashable]) -> bytes:
    """Return the slots of a sample, in channel order, as a driver would."""
    if profile.protocol in IDENTIFIED:
        return gather_frames(profile, golden, sources)
    memory: dict[tuple[int, int], bytes] = {}
    for block in golden.blocks:
        memory.update(_registers(block.function, block.address, bytes.fromhex(block.hex)))
    return _gather(golden, memory, sources)


def _gather(golden: GoldenTable, memory: dict[tuple[int, int], bytes], sources: Iterable[Hashable]) -> bytes:
    """Return the slots of a Modbus sample, in channel order."""
    raw = bytearray()
    for source in sources:
        parts: tuple[RegisterSource, ...] = source  # type: ignore[assignment]  # Modbus profiles have no other
        for part in parts:
            for address in range(part.address, part.address + part.count):
                if (part.function, address) not in memory:
                    found = f"no register {address} of function {part.function}"
                    wanted = "every register the expected channels read"
                    raise ConfigError([Finding(f'golden "{golden.name}".blocks', found, wanted)])
                raw += memory[part.function, address]
    return bytes(raw)

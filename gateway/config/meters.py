"""Cross checks of the meters: against their links, their profiles and the vocabulary of quantities."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from drivers import profiles
from gateway.config.links import LINK_KINDS, LinkTable
from gateway.config.values import nearest, nearest_few
from gateway.energy_kinds import plausible
from gateway.errors import ConfigError, Finding
from gateway.quantity import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Iterator
    from pathlib import Path

    from drivers.profiles import Library, Profile
    from gateway.config.draft import Draft, Entry
    from gateway.config.models import MeterConfig

OPTIONS_SHOWN_MAX = 12
NEAREST_SHOWN_MAX = 4
_NO_BROADCAST = "0 calls all meters at once, and none answers; set the meter to 1 to 247"
_NO_UNIT = "no unit id: it belongs to Modbus"
_NO_ADDRESS = "no address: it belongs to DL/T 645 and CJ/T 188"
ADDRESS_DIGITS = {"dlt645": 12, "cjt188": 14}
PROTOCOL_NAMES = {"dlt645": "DL/T 645", "cjt188": "CJ/T 188"}


def check_meters(draft: Draft) -> Iterator[Finding]:
    """Yield every finding about meters that needs their links or profiles to be seen."""
    dirs = () if draft.gateway.value is None else draft.gateway.value.profile_dirs
    for i, folder in enumerate(dirs, 1):
        if not folder.is_dir():
            yield Finding(
                f"gateway.profile_dirs[{i}]",
                f"no folder {folder}",
                "a folder of profiles",
                "correct the path",
            )
    library = profile_library(dirs)
    complete = "profile_dirs" not in draft.gateway.doubtful and all(folder.is_dir() for folder in dirs)
    protocols = _link_protocols(draft)
    addresses: dict[tuple[str, str, Hashable], tuple[str, bool]] = {}
    broken: set[str] = set()
    for entry in draft.meters:
        if entry.value is None:
            continue
        path, meter, doubtful = entry.path, entry.value, entry.doubtful
        if meter.link not in protocols and "link" not in doubtful:
            yield unknown(f"{path}.link", meter.link, protocols, "links")
        on_link = protocols.get(meter.link, frozenset())
        protocol = protocol_of(meter, on_link, library)
        if not doubtful & {"unit", "address"}:
            yield from _address(path, meter, protocol, addresses, _is_shared(meter, library))
            if protocol == "modbus" and meter.unit == 0 and "dlt645" in on_link:
                yield Finding(f"{path}.unit", "0", "1 to 255 on a serial line", _NO_BROADCAST)
        if not doubtful & {"profile", "variables"}:
            yield from _source(path, meter, protocol)
        if meter.profile in library.ids():
            yield from _profiled(entry, meter, on_link, library, broken)
        elif meter.profile and complete:
            listed = "`metergate profiles` lists them"
            finding = unknown(f"{path}.profile", meter.profile, library.ids(), "profiles", listed)
            searched = ", ".join([*map(str, dirs), "those shipped"])
            expected = f"{finding.expected}; searched: {searched}"
            yield Finding(finding.path, finding.found, expected, finding.suggestion)
        yield from _limits(path, meter)
        yield from _read(path, meter, protocol)
        if meter.variables:
            yield from _variables(path, meter)


def profile_library(dirs: Iterable[Path]) -> Library:
    """Return the profiles a site may use: its own folders first, then the profiles shipped."""
    return profiles.Library([*dirs, profiles.shipped_dir()])


def _link_protocols(draft: Draft) -> dict[str, frozenset[str]]:
    """Return link id -> protocols that can be read on it; none where the link is too wrong to tell."""
    found = {}
    for entry in draft.links:
        kind = LINK_KINDS.get(str(entry.body.get("kind")))
        known = kind.protocols if kind is not None and issubclass(kind, LinkTable) else frozenset()
        found[str(entry.body.get("id"))] = known
    return found


def protocol_of(meter: MeterConfig, on_link: frozenset[str], library: Library) -> str:
    """Return how a meter is read: the link's only protocol, else its profile's or its variables'; "": cannot be told."""
    if len(on_link) == 1:
        return next(iter(on_link))
    if meter.variables:
        return "opcua" if "opcua" in on_link else ""
    try:
        of_profile = library.get(meter.profile).protocol if meter.profile in library.ids() else ""
    except ConfigError:  # reported with the profile
        return ""
    return of_profile if of_profile in on_link else ""


def _address(
    path: str,
    meter: MeterConfig,
    protocol: str,
    addresses: dict[tuple[str, str, Hashable], tuple[str, bool]],
    shared: bool,
) -> Iterator[Finding]:
    """Yield what is wrong with the meter's address.

    addresses: (link, protocol, address) -> path that has it, and whether it shares it. shared: it is one input of a module.
    """
    digits = ADDRESS_DIGITS.get(protocol, 0)
    if protocol and protocol != "modbus" and meter.unit is not None:
        yield Finding(f"{path}.unit", str(meter.unit), _NO_UNIT, "remove the key")
    if protocol and not digits and meter.address:
        yield Finding(f"{path}.address", meter.address, _NO_ADDRESS, "remove the key")
    key, found = "unit", "" if meter.unit is None else str(meter.unit)
    if protocol == "modbus" and meter.unit is None:
        yield Finding(
            f"{path}.unit", "nothing", "the Modbus unit id, 0 to 255", "write unit = 1 if it was never set"
        )
    elif digits:
        key, found = "address", meter.address
        if len(meter.address) != digits:
            yield Finding(
                f"{path}.address",
                f"{len(meter.address)} digits" if meter.address else "nothing",
                f"the {digits} digits of the meter's number, as {PROTOCOL_NAMES[protocol]} has it",
                "read them off the meter's plate; fill up with zeros from the left",
            )
    if found and meter.enabled and (protocol == "modbus" or len(found) == digits):
        first, also = addresses.setdefault((meter.link, protocol, address_of(meter)), (path, shared))
        if first != path and not (shared and also):
            again = f'{found}, which {first} has already on link "{meter.link}"'
            name = "a unit id" if key == "unit" else "an address"
            yield Finding(
                f"{path}.{key}",
                again,
                f"{name} of its own on the link",
                f"correct the {'unit id' if key == 'unit' else key} or the link",
            )


def _is_shared(meter: MeterConfig, library: Library) -> bool:
    """Return whether several meters may hang at one unit, each at an input of its own."""
    try:
        return meter.profile in library.ids() and library.get(meter.profile).shared
    except ConfigError:  # reported with the profile
        return False


def address_of(meter: MeterConfig) -> Hashable:
    """Return the meter's address on its link: a Modbus unit id, the digits of a meter number, or ""."""
    return meter.address if meter.unit is None else meter.unit


def limits_of(meter: MeterConfig, profile: Profile) -> Hashable:
    """Return how a meter may be asked: as its profile says, but for what the site file knows better."""
    limits, own = profile.limits, meter.read
    if profile.protocol != "modbus":
        return profile.settings(meter.variant)
    return replace(
        limits,
        registers_max=limits.registers_max if own.registers_max is None else own.registers_max,
        hole_max=limits.hole_max if own.hole_max is None else own.hole_max,
        pause_ms=limits.pause_ms if own.pause_s is None else round(1000 * own.pause_s),
    )


def _source(path: str, meter: MeterConfig, protocol: str) -> Iterator[Finding]:
    """Yield a finding unless exactly one thing says what to read: a profile, or OPC UA variables."""
    if meter.profile and meter.variables:
        yield Finding(
            f"{path}.variables", "variables and a profile", "one of them", "keep the one that is meant"
        )
    elif not meter.profile and protocol == "modbus":
        yield Finding(f"{path}.profile", "nothing", "the id of a profile", "`metergate profiles` lists them")
    elif not meter.profile and not meter.variables:
        yield Finding(
            f"{path}.profile",
            "nothing",
            "a profile or OPC UA variables",
            "write [meters.variables.<channel>]",
        )
    if meter.variables and protocol == "modbus":
        yield Finding(
            f"{path}.variables", "variables on a Modbus link", "a profile: variables belong to OPC UA"
        )


def _profiled(
    entry: Entry[MeterConfig],
    meter: MeterConfig,
    on_link: frozenset[str],
    library: Library,
    broken: set[str],
) -> Iterator[Finding]:
    """Yield what a meter's profile says against its table; a broken profile is reported once."""
    path, doubtful = entry.path, entry.doubtful
    if meter.profile in broken:
        return
    try:
        profile = library.get(meter.profile)
    except ConfigError as error:
        broken.add(meter.profile)
        yield from error.findings
        return
    if on_link and profile.protocol not in on_link:
        found = f'"{profile.id}", a meter type read by {profile.protocol}'
        expected = f"one read by {' or '.join(sorted(on_link))}, as the link is"
        yield Finding(f"{path}.profile", found, expected, "correct profile or link")
    fitting = plausible(profile.medium)
    if meter.energy_kind not in fitting and "energy_kind" not in doubtful:
        found = f'"{meter.energy_kind}" on a meter type for {profile.medium}'
        yield Finding(f"{path}.energy_kind", found, "one of " + ", ".join(sorted(fitting)))
    if not meter.variables:
        for finding in _against_profile(meter, profile):
            table = finding.path.partition(".")[0].partition("[")[0]
            if table not in doubtful:
                yield under(path, finding)


def _against_profile(meter: MeterConfig, profile: Profile) -> Iterator[Finding]:
    """Yield findings with paths inside the meter: variant, channels, ratios, overrides, units."""
    yield from profiles.check_ratios(profile, meter.ratios)
    if meter.variant and meter.variant not in profile.variants:
        yield unknown("variant", meter.variant, profile.variants, "variants")
        return
    known = profile.keys(meter.variant)
    listed = f"`metergate profiles {profile.id}` lists them"
    for key in meter.override:
        if key not in known:
            yield unknown(f"override.{key}", key, known, "channels", listed)
    if profile.shared and not meter.channels:
        hint = f'such as channels = ["{next(iter(profile.channels))}"]'
        yield Finding("channels", "nothing", "what is wired to this input", hint)
        return
    try:
        keys = profiles.channel_keys(profile, meter.channels, meter.variant)
        if not keys:
            hint = 'write channels = "*"'
            yield Finding("channels", "nothing", "a channel: the default set has none of this variant", hint)
    except ConfigError as error:
        strange = {
            f"channels[{i}]": key for i, key in enumerate(meter.channels, 1) if key not in profile.channels
        }
        for finding in error.findings:
            key = strange.get(finding.path, "")
            yield unknown(finding.path, key, known, "channels", listed) if key else finding
        keys = tuple(key for key in dict.fromkeys(meter.channels) if key in known)
    if not keys:
        return
    for key in keys:
        yield from _with_its_status(meter, profile, key)
    ratios = profiles.stand_ins(profile)  # missing ones are reported above
    try:
        profiles.compile(
            profile, meter.id, meter.period_s, keys, ratios, channel_overrides(meter), meter.variant
        )
    except ConfigError as error:
        yield from error.findings


def _with_its_status(meter: MeterConfig, profile: Profile, key: str) -> Iterator[Finding]:
    """Yield a finding if a channel and the status that says whether it counts are read at different periods."""
    valid = profile.channels[key].valid_when
    if valid is None:
        return
    own, status = (
        meter.period_s if o is None or o.period_s is None else o.period_s
        for o in (meter.override.get(name) for name in (key, valid.channel))
    )
    if own != status:
        found = f"{own:g} s, but {valid.channel} is read every {status:g} s"
        hint = f"give {valid.channel} the same period"
        yield Finding(f"override.{key}.period", found, f"one period: it says whether {key} counts", hint)


def channel_overrides(meter: MeterConfig) -> dict[str, profiles.ChannelOverride]:
    """Return the overrides of a meter as `profiles.compile` takes them."""
    return {
        key: profiles.ChannelOverride(
            unit=o.unit,
            low=o.low,
            high=o.high,
            rate_max=o.rate_max,
            modulus=o.modulus,
            report=o.report,
            reference=o.reference,
            input=o.input,
        )
        for key, o in meter.override.items()
    }


def variable_specs(meter: MeterConfig) -> dict[str, profiles.VariableSpec]:
    """Return the OPC UA variables of a meter, overrides included, as `profiles.compile_variables` takes them."""
    specs = {}
    for key, variable in meter.variables.items():
        more = meter.override.get(key)
        specs[key] = profiles.VariableSpec(
            variable.id,
            variable.quantity,
            variable.unit,
            variable.factor,
            low=more.low if more else None,
            high=more.high if more else None,
            rate_max=more.rate_max if more else None,
            modulus=more.modulus if more else None,
            report=more.report if more else None,
            reference=variable.reference,
        )
    return specs


def _variables(path: str, meter: MeterConfig) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for key, variable in meter.variables.items():
        other = first.setdefault(variable.id, key)
        if other != key:
            found = f'"{variable.id}", which is {other} already'
            yield Finding(
                f"{path}.variables.{key}.id", found, "a variable of its own", "correct one of the two ids"
            )
    for name, given in (("channels", meter.channels), ("ratios", meter.ratios), ("variant", meter.variant)):
        if given and not meter.profile:
            yield Finding(f"{path}.{name}", "a value", "nothing: it belongs to a profile", "remove the key")
    for key, override in meter.override.items():
        if key not in meter.variables:
            yield unknown(f"{path}.override.{key}", key, meter.variables, "variables")
        for name in ("unit", "reference", "input"):
            if getattr(override, name):
                hint = f"write it into [meters.variables.{key}]"
                yield Finding(
                    f"{path}.override.{key}.{name}", "a value", "nothing: the variable itself says it", hint
                )
    try:
        profiles.compile_variables(meter.id, meter.period_s, variable_specs(meter))
    except ConfigError as error:
        quantities = {
            f"variables.{key}.quantity": variable.quantity for key, variable in meter.variables.items()
        }
        for finding in error.findings:
            name = quantities.get(finding.path, "")
            listed = "docs/reference/quantities.md lists them"
            if name and name not in QUANTITIES:
                yield under(path, unknown(finding.path, name, QUANTITIES, "quantities", listed))
            else:
                yield under(path, finding)


def _read(path: str, meter: MeterConfig, protocol: str) -> Iterator[Finding]:
    """Yield what of `[meters.read]` the meter's protocol has no use for."""
    keys = ("registers_max", "hole_max", "pause", "delay")
    values = (meter.read.registers_max, meter.read.hole_max, meter.read.pause_s, meter.read.delay_s)
    useless = {"opcua": keys, "dlt645": keys[:3], "cjt188": keys[:3]}.get(protocol, ())
    for key, value in zip(keys, values, strict=True):
        if value is not None and key in useless:
            yield Finding(
                f"{path}.read.{key}", "a value", "nothing: this protocol has no use for it", "remove the key"
            )


def _limits(path: str, meter: MeterConfig) -> Iterator[Finding]:
    for key, override in meter.override.items():
        if override.low is not None and override.high is not None and override.low > override.high:
            yield Finding(
                f"{path}.override.{key}.low", f"{override.low:g}", f"at most high, {override.high:g}"
            )


def under(path: str, finding: Finding) -> Finding:
    """Return a finding of one meter with its place in the site file."""
    return Finding(f"{path}.{finding.path}", finding.found, finding.expected, finding.suggestion)


def unknown(path: str, found: str, options: Collection[str], what: str, where: str = "") -> Finding:
    """Return the finding of a name that is none of `options`; of many the nearest are named. where: what lists them."""
    names = list(options)
    near = nearest(found, names)
    if not names:
        listed = f"one of the {what}, but there are none"
    elif len(names) <= OPTIONS_SHOWN_MAX:
        listed = f"one of the {what}: " + ", ".join(names)
    else:
        some = ", ".join(nearest_few(found, names, NEAREST_SHOWN_MAX, 0.3) or names[:NEAREST_SHOWN_MAX])
        listed = f"one of the {len(names)} {what}, such as {some}" + (f"; {where}" if where else "")
    return Finding(path, f'"{found}"', listed, f'did you mean "{near}"?' if near else "")

"""Profiles: meter types as data. Load them, find them by id, and compile them into layouts.

The parts: `model` (the tables), `check` (what they must say together), `compile` (layouts),
`ratio` (ratios and probe at connecting), `golden` (captures). Contract: docs/specs/profile.md.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gateway
from drivers.profiles.check import check
from drivers.profiles.compile import (
    ChannelOverride,
    VariableSpec,
    channel_keys,
    compile,
    compile_variables,
)
from drivers.profiles.golden import decode_golden
from drivers.profiles.model import Profile
from drivers.profiles.ratio import check_ratios, probe_layout, ratio_layout, ratio_values, stand_ins
from drivers.profiles.resolution import CoarseCounter, coarse_counters
from drivers.profiles.trust import one_source_channels, profiles_table
from gateway.config.values import nearest
from gateway.errors import ConfigError, Finding
from gateway.file_reading import read_file
from gateway.findings import parse, shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "ChannelOverride",
    "CoarseCounter",
    "Library",
    "Profile",
    "UnknownProfile",
    "VariableSpec",
    "channel_keys",
    "check_ratios",
    "coarse_counters",
    "compile",
    "compile_variables",
    "decode_golden",
    "describe",
    "describe_whole",
    "load",
    "one_source_channels",
    "probe_layout",
    "profiles_table",
    "ratio_layout",
    "ratio_values",
    "search",
    "shipped_dir",
    "stand_ins",
]

SIZE_MAX_BYTES = 1 << 20


def load(path: Path) -> Profile:
    """Return the profile in a file. Raises ConfigError with every finding, each path led by the file's name."""
    try:
        profile, findings = parse(
            Profile, _parsed(path), "", {}
        )  # dotted keys nest deeper than the TOML parser minds
    except RecursionError:
        found = "tables or lists nested beyond all use"
        raise ConfigError([Finding(path.name, found, "a readable TOML file in UTF-8")]) from None
    if profile is not None:
        findings += check(profile, path.stem)
    if profile is None or findings:
        raise ConfigError(
            [Finding(f"{path.name}: {f.path}", f.found, f.expected, f.suggestion) for f in findings]
        )
    return profile


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_file(path, SIZE_MAX_BYTES, path.name).decode())
    except (OSError, ValueError) as error:  # not UTF-8, not TOML, an integer of thousands of digits
        found = shorten(str(error))
        raise ConfigError([Finding(path.name, found, "a readable TOML file in UTF-8")]) from error


def shipped_dir() -> Path:
    """Return the folder of the profiles that come with the gateway: in the installed package, else in the checkout."""
    package = Path(gateway.__file__).resolve().parent
    installed = package / "_config" / "profiles"
    return installed if installed.is_dir() else package.parent / "config" / "profiles"


class UnknownProfile(KeyError):
    """No folder has a profile of this id; suggestion: the nearest id, or ""."""

    def __init__(self, profile_id: str, suggestion: str) -> None:
        """profile_id: as it was asked for."""
        super().__init__(profile_id)
        self.suggestion = suggestion

    def __str__(self) -> str:
        """Return the error as one line of text."""
        return f"no profile {self.args[0]!r}" + (
            f"; did you mean {self.suggestion!r}?" if self.suggestion else ""
        )


class Library:
    """The profiles of some folders; where two have the same id, the folder named first wins."""

    def __init__(self, dirs: Iterable[Path]) -> None:
        """dirs: searched in this order; one that does not exist is empty."""
        self._files: dict[str, Path] = {}
        for folder in dirs:
            for path in sorted(folder.glob("*.toml")):
                self._files.setdefault(path.stem, path)
        self._loaded: dict[str, Profile] = {}

    def ids(self) -> tuple[str, ...]:
        """Return the ids in alphabetical order; nothing is loaded."""
        return tuple(sorted(self._files))

    def get(self, profile_id: str) -> Profile:
        """Return a profile, loaded once. Raises UnknownProfile, or ConfigError with every finding in its file."""
        if profile_id not in self._loaded:
            path = self._files.get(profile_id)
            if path is None:
                raise UnknownProfile(profile_id, nearest(profile_id, self._files))
            self._loaded[profile_id] = load(path)
        return self._loaded[profile_id]


def describe_whole(profile: Profile) -> dict[str, object]:
    """Return everything a person wants to know of one meter type, its channels among it: plain JSON values."""
    default = profile.default or profile.keys()
    channels = []
    for key, channel in profile.channels.items():
        whole = channel.model_dump(mode="json")
        found = [_spot(p) for p in _places(whole)]
        places = (
            ["site file"] if channel.input else [str(place) for place in found if place not in (None, "")]
        )
        note = "; ".join(
            filter(None, (channel.note, "variant " + ", ".join(channel.variants) if channel.variants else ""))
        )
        channels.append(
            {
                "key": key,
                "quantity": channel.quantity,
                "unit": channel.unit,
                "address": ", ".join(places),
                "default": key in default,
                "confidence": channel.confidence or profile.confidence,
                "note": note,
            }
        )
    more = {"sources": list(profile.sources), "quirks": list(profile.quirks)}
    return describe(profile) | more | {"channel_list": channels}


def _spot(place: Mapping[str, Any]) -> object:
    """Return where one table says a value lies: register, identifier, byte of the reply, or node id."""
    if place.get("di") is not None:
        return f"{place['di']:08X}"
    if place.get("at") is not None:
        return f"byte {place['at']}"
    return place.get("id") if place.get("address") is None else place["address"]


def _places(channel: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return where a channel is read, whichever way its table says it."""
    return [channel, *(channel.get("parts") or ()), *(channel.get("alternatives") or {}).values()]


def search(library: Library, words: str) -> list[Profile]:
    """Return the profiles in which every word occurs: in id, maker, model or the names beside; all for ""."""
    wanted = words.casefold().split()
    return [
        profile
        for profile in map(library.get, library.ids())
        if all(
            word
            in " ".join((profile.id, profile.maker, profile.model, profile.medium, *profile.also)).casefold()
            for word in wanted
        )
    ]


def describe(profile: Profile) -> dict[str, object]:
    """Return what a list of profiles shows: plain JSON values."""
    return {
        "id": profile.id,
        "maker": profile.maker,
        "model": profile.model,
        "also": list(profile.also),
        "medium": profile.medium,
        "protocol": profile.protocol,
        "confidence": profile.confidence,
        "sources_cited": len(profile.sources),
        "one_source_channels": one_source_channels(profile, profile.channels),
        "channels": len(profile.channels),
        "default": len(profile.default) or len(profile.keys()),
        "variants": dict(profile.variants),
        "ratios": list(profile.ratios),
        "doubts": list(profile.doubts),
        "hardware_captures": sum(not golden.constructed for golden in profile.golden),
        "digest": profile.digest,
    }

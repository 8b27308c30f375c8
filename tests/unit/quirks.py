"""A profile written as a maker's manual would have it, for the tests of awkward meters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers import profiles

if TYPE_CHECKING:
    from pathlib import Path

    from drivers.profiles import Profile
    from drivers.profiles.golden import Decoded

HEAD = """
schema = 1
id = "quirk"
maker = "test"
model = "test"
medium = "electricity"
protocol = "modbus"
confidence = "one-source"
sources = ["this test"]
no_probe = "test"
"""
GOLDEN = """
[[golden]]
name = "constructed: quirk"
constructed = true
source = "this test"
"""


def load(body: str, capture: str, expected: str, folder: Path) -> Profile:
    """Return the profile, its one capture expecting that of the first channel. Raises ConfigError."""
    path = folder / "quirk.toml"
    expect = f'expect = {{ {first_key(body)} = "{expected}" }}'
    path.write_text(f"{HEAD}{body}{GOLDEN}{capture}\n{expect}\n", encoding="utf-8")
    return profiles.load(path)


def first_key(body: str) -> str:
    return body.split("[channels.", 1)[1].split("]", 1)[0]


def decode(profile: Profile) -> Decoded:
    """Return what the capture's bytes mean to the gateway."""
    ((_, decoded),) = profiles.decode_golden(profile, profile.golden[0]).items()
    return decoded

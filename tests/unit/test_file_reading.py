"""Site files and profiles that are no plain text file of a believable size: a finding, never a traceback or a wait."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from drivers import profiles
from gateway.config import site_file as config
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (os.mkfifo, "a named pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
        (lambda path: path.write_bytes(b"#" * (config.SIZE_MAX_BYTES + 1)), "a larger file"),
    ],
)
def test_what_has_no_end_is_no_site_file(make: Callable[[Path], object], found: str, tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    make(path)
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert caught.value.findings[0].found == found


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (os.mkfifo, "a named pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
        (lambda path: path.write_bytes(b"#" * (profiles.SIZE_MAX_BYTES + 1)), "a larger file"),
        (lambda path: path.write_text("a = " + "[" * 100_000), "nested"),
        (lambda path: path.write_text("a." * 900 + "a = 1"), "nested"),
        (lambda path: path.write_text("a = " + "9" * 5000), "4300"),
        (lambda path: path.write_bytes(b"a = \xff"), "utf-8"),
    ],
)
def test_what_is_no_profile_file_is_a_finding(
    make: Callable[[Path], object], found: str, tmp_path: Path
) -> None:
    path = tmp_path / "odd.toml"
    make(path)
    with pytest.raises(ConfigError) as caught:
        profiles.load(path)
    assert found in caught.value.findings[0].found
    assert caught.value.findings[0].path.startswith("odd.toml")

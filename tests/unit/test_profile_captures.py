"""What a profile's own captures and units say against it is said once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drivers import profiles
from gateway.errors import ConfigError
from tests.unit.test_profiles import GOOD, written

if TYPE_CHECKING:
    from pathlib import Path


def test_a_guess_is_said_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        profiles.load(written(tmp_path, GOOD.replace('unit = "K"', 'unit = "k"')))
    assert str(caught.value.findings[0]).count("did you mean") == 1


def test_what_keeps_a_whole_capture_from_being_decoded_is_said_once(tmp_path: Path) -> None:
    text = GOOD.replace("address = 100, hex", "address = 200, hex")
    text = text.replace("expect = { ", 'units = { mass = "kg" }\nexpect = { mass = "1", ')
    with pytest.raises(ConfigError) as caught:
        profiles.load(written(tmp_path, text))
    (finding,) = caught.value.findings
    assert finding.path == "good.toml: golden[1].blocks"
    assert "no register 100 of function 3" in finding.found

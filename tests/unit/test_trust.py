"""What rests on one source is told: in the list of meter types, of one whole, and by a check of the site file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers import profiles
from gateway.commands.tables import print_profile, print_profiles
from gateway.config.site_file import from_toml
from gateway.config.summary import CHANNELS_NAMED, summary

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

LIBRARY = profiles.Library([profiles.shipped_dir()])
WHOLE = "schneider-iem3155"  # one source for all of it
PARTLY = "siemens-pac3200"  # two sources, but for its distortions and the neutral current
WELL = "abb-b23-b24"  # two sources for all of it
DISTORTIONS = [f"thd_{of}_l{phase}" for of in ("voltage_ln", "current") for phase in (1, 2, 3)]


def warnings(profile: str, tmp_path: Path, channels: str = "", meters: int = 1) -> list[str]:
    """Return what a check says of the profile: meters m1, m2 … that read these channels."""
    text = """
        gateway = { id = "g", state_dir = "state" }
        site = { timezone = "Asia/Shanghai" }
        [[links]]
        id = "l"
        kind = "modbus-tcp"
        host = "127.0.0.1"
    """
    for unit in range(1, meters + 1):
        text += f"""
            [[meters]]
            id = "m{unit}"
            link = "l"
            unit = {unit}
            profile = "{profile}"
            energy_kind = "electricity"
            period = "10s"
            {channels}
        """
    found = summary(from_toml(text, tmp_path / "site.toml"))["warnings"]
    return [warning for warning in found if "source" in warning]


def test_a_check_names_a_meter_type_of_one_source(tmp_path: Path) -> None:
    (told,) = warnings(WHOLE, tmp_path, meters=2)
    assert told.startswith(f"profile {WHOLE} (meters m1, m2) rests on one source")


def test_a_check_names_the_channels_that_are_read_and_rest_on_one_source(tmp_path: Path) -> None:
    assert warnings(PARTLY, tmp_path) == [], "its default channels have two"
    (told,) = warnings(PARTLY, tmp_path, 'channels = ["frequency", "thd_current_l2"]')
    assert "(meters m1)" in told
    assert "only one source speaks for thd_current_l2: " in told


def test_many_channels_of_one_source_are_one_warning_that_stays_short(tmp_path: Path) -> None:
    (told,) = warnings(PARTLY, tmp_path, 'channels = ["*"]', meters=2)
    assert all(key in told for key in DISTORTIONS[:CHANNELS_NAMED])
    assert "more" not in told, "just as many as are named"
    (told,) = warnings("camille-bauer-aplus", tmp_path, 'channels = ["*"]')
    assert told.count(",") == CHANNELS_NAMED - 1
    assert " and 18 more: " in told


def test_nothing_is_said_of_two_sources(tmp_path: Path) -> None:
    assert warnings(WELL, tmp_path, 'channels = ["*"]') == []


def test_the_description_counts_sources_and_lists_channels_of_one() -> None:
    for name in LIBRARY.ids():
        row, profile = profiles.describe(LIBRARY.get(name)), LIBRARY.get(name)
        assert row["sources_cited"] == len(profile.sources)
    assert profiles.describe(LIBRARY.get(WHOLE))["one_source_channels"] == []
    weak = profiles.describe(LIBRARY.get(PARTLY))["one_source_channels"]
    assert weak == [*DISTORTIONS, "current_n"]
    whole = profiles.describe_whole(LIBRARY.get(PARTLY))["channel_list"]
    assert isinstance(whole, list)
    assert [channel["key"] for channel in whole if channel["confidence"] == "one-source"] == weak


def test_people_see_the_number_of_sources_and_what_rests_on_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    print_profiles([profiles.describe(LIBRARY.get(name)) for name in (PARTLY, WELL, WHOLE)])
    lines = capsys.readouterr().out
    row = {name: next(line for line in lines.splitlines() if name in line) for name in (PARTLY, WELL, WHOLE)}
    assert " 4  two-sources, 7 channels" in row[PARTLY]
    assert " 2  two-sources  " in row[WELL]
    assert " 2  one-source" in row[WHOLE]
    print_profile(profiles.describe_whole(LIBRARY.get(PARTLY)))
    shown = capsys.readouterr().out.splitlines()
    assert any("thd_current_l1" in line and "one-source" in line for line in shown)
    assert not any(" frequency " in line and "one-source" in line for line in shown)

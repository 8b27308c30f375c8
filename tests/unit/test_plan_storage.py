"""What `metergate plan` says of journal and history, held against files that are really written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from array import array
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from drivers import profiles
from gateway.commands.cli import app
from gateway.config.meters import profile_library
from gateway.config.site_file import from_toml
from gateway.model import NS, Frame
from gateway.planning.storage import DAY_S, size, span, storage, storage_warnings
from simulators.virtual import VirtualClock
from tests.unit.journal_rig import START_NS, open_journal
from tests.unit.plan_sites import TCP, site_text
from tests.unit.test_config_periods import FEED, SENDER

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config.models import Site

TOLERANCE = 0.15
STRETCH_S = 100


def site_of(text: str, folder: Path) -> Site:
    return from_toml(text, folder / "site.toml")


def figures(folder: Path, text: str) -> dict[str, Any]:
    (folder / "site.toml").write_text(text)
    result = CliRunner().invoke(app, ["plan", "--json", "--config", str(folder / "site.toml")])
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.mark.parametrize(
    ("meters", "channels"),
    [(8, ["voltage_ln_l1"]), (8, []), (40, "*"), (300, [])],
    ids=["small-frames", "usual", "wide", "many"],
)
async def test_the_journal_grows_as_estimated(meters: int, channels: Any, tmp_path: Path) -> None:
    """Frames arrive one after another over each second, as from several links; commits are at most 20 a second."""
    site = site_of(spread(meters, channels), tmp_path)
    library = profile_library(())
    profile = library.get("eastron-sdm630")
    layouts = [
        profiles.compile(profile, meter.id, 1.0, profiles.channel_keys(profile, meter.channels), {}, {})[0]
        for meter in site.meters
    ]
    journal = open_journal(tmp_path, VirtualClock(START_NS))
    for layout in layouts:  # the layouts themselves are written once
        journal.append(frame(layout, 0))
    await journal.flush()
    before = journal.used_bytes
    together = max(1, meters // 20)
    for second in range(1, STRETCH_S + 1):
        for first in range(0, meters, together):
            for layout in layouts[first : first + together]:
                journal.append(frame(layout, second))
            assert await journal.flush()
    grown = (journal.used_bytes - before) / STRETCH_S * DAY_S
    await journal.close()
    assert storage(site, library).journal_day == pytest.approx(grown, rel=TOLERANCE)


def spread(meters: int, channels: Any) -> str:
    """Return a site with so many meters read once a second, on links of 100."""
    text = ""
    for i in range(0, meters, 100):
        link = TCP.replace("hall", f"hall-{i}").replace("127.0.0.1", f"127.0.1.{i // 100}")
        part = site_text(link, min(100, meters - i), period="1s", channels=channels)
        part = part.replace('id = "m-', f'id = "m{i}-')
        text += part if not text else part[part.index("[[links]]") :]
    return text


def frame(layout: Any, second: int) -> Frame:
    raw = second.to_bytes(layout.size, "big")
    flags = array("H", layout.no_flags)
    return Frame(layout, 0, START_NS + second * NS, None, raw, layout.decode(raw, flags), flags)


def test_figures_of_a_site(tmp_path: Path) -> None:
    found = figures(tmp_path, site_text(TCP, 30))["storage"]
    assert found["frames_per_s"] == 3
    assert found["journal"]["days"] == pytest.approx((2 << 30) / found["journal"]["bytes_per_day"], rel=1e-3)
    history = found["history"]
    assert history["outbox_bytes_per_day"] == 0
    assert history["kept_bytes"] == pytest.approx(200 * history["bytes_per_day"], rel=1e-3)
    fed = site_text(TCP, 30).replace("[[links]]", f"{SENDER}[[links]]", 1) + FEED
    with_feed = figures(tmp_path, fed)["storage"]["history"]
    assert with_feed["outbox_bytes_per_day"] > 0
    assert with_feed["kept_bytes"] > 1.5 * history["kept_bytes"]


def test_a_disabled_meter_is_in_the_history_and_not_in_the_journal(tmp_path: Path) -> None:
    library = profile_library(())
    on, off = (
        storage(site_of(site_text(TCP, 1, more=more), tmp_path), library) for more in ("", "enabled = false")
    )
    assert off.frames_s == off.journal_day == 0
    assert off.journal_days is None
    assert off.history_day == on.history_day > 0


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ("", []),
        ('[journal]\nsize_max = "32MiB"\n', ["journal.size_max"]),
        ('[history]\nkeep = "100d"\n', ["history.keep"]),
        ('[history]\nsize_max = "64MiB"\n', ["history.size_max"]),
        ('[history]\nkeep = "10d"\nsize_max = "16MiB"\n', ["history.keep", "history.size_max"]),
    ],
)
def test_what_holds_too_little_is_warned_of_with_what_would_do(
    tables: str, told: list[str], tmp_path: Path
) -> None:
    library = profile_library(())
    site = site_of(spread(20, []) + tables, tmp_path)
    warnings = list(storage_warnings(site, storage(site, library)))
    assert [text.partition(":")[0] for text in warnings] == told
    for text in warnings:
        key, wanted = re.findall(r'(\w+) = "([^"]+)"', text)[-1]
        tables = re.sub(rf'{key} = "[^"]+"', f'{key} = "{wanted}"', tables)
    mended = site_of(spread(20, []) + tables, tmp_path)
    more = list(storage_warnings(mended, storage(mended, library)))
    assert [text.partition(":")[0] for text in more] == (["history.size_max"] if len(told) == 2 else [])


def test_the_table_has_them_and_check_warns_too(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(site_text(TCP, 30) + '[history]\nkeep = "30d"\n')
    shown = CliRunner().invoke(app, ["plan", "--config", str(tmp_path / "site.toml")]).stdout
    assert "journal.db" in shown
    assert "for 30 d" in shown
    assert "warning: history.keep: 30 d, less than six months" in shown
    checked = CliRunner().invoke(app, ["check", "--config", str(tmp_path / "site.toml")]).stdout
    assert "history.keep: 30 d" in checked


def test_planning_needs_no_database() -> None:
    code = "import sys, gateway.planning.findings; sys.exit('apsw' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_figures_as_people_read_them() -> None:
    assert [size(n) for n in (0, 999, 2048, 3 << 20, (5 << 30) + (1 << 29))] == [
        "0 B",
        "999 B",
        "2 KiB",
        "3 MiB",
        "5.5 GiB",
    ]
    assert [span(days) for days in (0.5, 1, 9.96, 1234)] == ["12.0 h", "1.0 d", "10.0 d", "1,234 d"]

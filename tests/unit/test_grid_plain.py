"""What others wrote steers no terminal through a table or a note."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.text import Text

from gateway.commands.grid import Grid, note, words
from gateway.errors import ConfigError
from gateway.evidence.evidence_file import read_evidence

if TYPE_CHECKING:
    from pathlib import Path

EVIL = "a\x1b]0;x\x07\u202eb\x9b2J"


def printed(*parts: object) -> str:
    out = io.StringIO()
    Console(file=out, width=200, force_terminal=False).print(*parts)
    return out.getvalue()


@pytest.mark.parametrize("cell", [EVIL, Text(EVIL, style="red")])
def test_what_steers_is_shown(cell: str | Text) -> None:
    grid = Grid("id", words("why"))
    grid.add_row("m", cell)
    for shown in (printed(grid), printed(note(EVIL))):
        assert "a\\x1b]0;x" in shown
        assert "\\u202eb\\x9b2J" in shown
        assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(shown)


def test_lines_of_a_cell_and_its_colours_stay() -> None:
    grid = Grid("id", words("why"))
    two = Text("one\ntwo")
    two.stylize("red", 0, 3)
    grid.add_row("m", two)
    shown = printed(grid)
    assert "one" in shown.splitlines()[-2]
    assert "two" in shown.splitlines()[-1]
    assert "\\x0a" not in printed(note("one\ntwo"))


def test_evidence_says_nothing_that_steers(tmp_path: Path) -> None:
    file = tmp_path / "e.json"
    file.write_text('{"from": "2026-10-01", "to": "2026-10-31", "source": "a\\u001b[2Jb"}')
    with pytest.raises(ConfigError, match=r"U\+001B"):
        read_evidence(file)

"""docs/reference/under-fire.md names tests that are there, and every test of these two files."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "reference" / "under-fire.md"
NAMED = re.compile(r"`([a-z_/]+\.py)::(test_\w+)`")
TEST = re.compile(r"^(?:async )?def (test_\w+)\(", re.MULTILINE)
OWN = ("sim/test_under_fire.py", "integration/test_feed_under_fire.py")


def there(name: str) -> set[str]:
    """Return the tests of a file."""
    return set(TEST.findall((TESTS / name).read_text(encoding="utf-8")))


def test_every_line_names_tests_that_are_there() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.startswith("| What happens")]
    assert len(rows) >= 25
    for row in rows:
        named = NAMED.findall(row)
        assert named, row
        assert row.count("::") == len(named), row
        assert [f"{file}::{test}" for file, test in named if test not in there(file)] == []


def test_every_test_under_fire_has_its_line() -> None:
    named = set(NAMED.findall(PAGE.read_text(encoding="utf-8")))
    for file in OWN:
        assert {test for own, test in named if own == file} == there(file)

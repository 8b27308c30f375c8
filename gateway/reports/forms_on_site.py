"""What inspections on site (现场检查) add to the sheets of the second and the fourth step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.reports.on_site import NOTED_KEYS, SEEN_KEYS, noted_lines, seen_lines
from gateway.reports.sheets import Column
from gateway.reports.texts import TEXTS, Words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from gateway.inspection.summary import OnSite
    from gateway.reports.on_site import Line
    from gateway.reports.sheets import Sheet


class BothWords(Words):
    """Words with Chinese and English side by side."""

    def __call__(self, key: str, **values: object) -> str:
        """Return a text in both languages where they differ; of an item its key instead of the long English."""
        zh, en = (text.format(**values) for text in TEXTS[key])
        return f"{zh} {key.removeprefix('item_') if key.startswith('item_') else en}"


def add_seen(sheet: Sheet, inspections: Sequence[OnSite]) -> None:
    """Append what was found at each instrument of each sample."""
    _add(sheet, "o_seen", SEEN_KEYS, seen_lines(inspections, BothWords("zh")))


def add_noted(sheet: Sheet, inspections: Sequence[OnSite], on: date) -> None:
    """Append the findings with clause, owner, due day and closure. on: day the report is of."""
    _add(sheet, "o_noted", NOTED_KEYS, noted_lines(inspections, BothWords("zh"), on))


def _add(sheet: Sheet, title: str, keys: Iterable[str], lines: Iterable[Line]) -> None:
    sheet.section(" ".join(TEXTS[title]))
    sheet.head(*(Column(*TEXTS[key], 0) for key in keys))
    for line in lines:
        sheet.add(*(cell or None for cell in line.cells), kind="bad" if line.is_bad else "body")

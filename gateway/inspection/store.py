"""Inspections in the state folder: `<state_dir>/inspections/000001.jsonl` each, which only grow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from gateway.chained_file import ChainedFile, read_entries
from gateway.errors import MetergateError, StorageError
from gateway.inspection.model import RECORDS, Closed, Drawn, Found, Opened, Photo

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.chained_file import Entry

FOLDER = "inspections"
NAME = re.compile(r"(\d{6})\.jsonl")
GAPS_MAX = 5
Record = Drawn | Found | Opened | Closed


@dataclass(frozen=True, slots=True)
class Inspection:
    """An inspection as it stands. found: the newest record of each instrument; every one is in the file. closed: by finding.

    photos: of every record, also of one that a later one replaced.
    """

    number: int
    drawn: Drawn
    found: dict[str, Found]
    opened: dict[int, Opened]
    closed: dict[int, Closed]
    digest: str
    photos: tuple[Photo, ...] = ()

    @property
    def ids(self) -> list[str]:
        """Return the instruments of the sample."""
        return [one.instrument for one in self.drawn.instruments]

    @property
    def pending(self) -> list[str]:
        """Return the instruments of the sample nobody has recorded."""
        return [id_ for id_ in self.ids if id_ not in self.found]

    @property
    def open_findings(self) -> list[Opened]:
        """Return the findings that are not closed."""
        return [one for number, one in self.opened.items() if number not in self.closed]

    def wrong(self, instrument: str) -> list[str]:
        """Return what was wrong at an instrument."""
        found = self.found.get(instrument)
        return [] if found is None else [item for item, mark in found.marks.items() if mark == "wrong"]

    def uncovered(self) -> dict[str, list[str]]:
        """Return instrument -> what was wrong there and no finding names."""
        named = {(one.instrument, item) for one in self.opened.values() for item in one.items}
        found = {id_: [item for item in self.wrong(id_) if (id_, item) not in named] for id_ in self.found}
        return {id_: items for id_, items in found.items() if items}


class Inspections:
    """The inspections of a site."""

    def __init__(self, state_dir: Path) -> None:
        """state_dir: of the gateway."""
        self.folder = state_dir / FOLDER

    def numbers(self) -> list[int]:
        """Return the numbers there are, 1 to the newest. Raises StorageError if one is missing or the folder cannot be read."""
        try:
            names = [path.name for path in self.folder.iterdir()] if self.folder.exists() else []
        except OSError as error:
            raise StorageError(f"{self.folder}: {error.strerror}; run it as the gateway's user") from error
        found = sorted(int(match[1]) for match in map(NAME.fullmatch, names) if match)
        missing = sorted(set(range(1, max(found, default=0) + 1)) - set(found))
        if missing:
            which = ", ".join(f"{number:06d}.jsonl" for number in missing[:GAPS_MAX])
            raise StorageError(f"{self.folder}: {which} is missing; put it back from a backup")
        return found

    def at(self, number: int) -> Inspection:
        """Return an inspection. Raises MetergateError if there is none, StorageError if it is damaged."""
        if number not in self.numbers():
            known = ", ".join(map(str, self.numbers())) or "none yet: metergate inspect draw"
            raise MetergateError(f"no inspection {number}; there are: {known}")
        return _standing(number, self._file(number).entries())

    def all(self) -> list[Inspection]:
        """Return every inspection, the oldest first. Raises StorageError."""
        return [self.at(number) for number in self.numbers()]

    def begin(self, drawn: Drawn) -> Inspection:
        """Keep a new sample. Raises StorageError."""
        number = max(self.numbers(), default=0) + 1
        while True:  # somebody may begin one at the same moment
            file = self._file(number)
            with file.held() as entries:
                if not entries:
                    return _standing(number, file.add(entries, drawn.model_dump(mode="json")))
            number += 1

    def record(self, number: int, found: Found) -> Inspection:
        """Add what was found at an instrument. Raises MetergateError if it is not of the sample; StorageError."""
        self.at(number)
        file = self._file(number)
        with file.held() as entries:
            before = _standing(number, entries)
            if found.instrument not in before.ids:
                ids = ", ".join(before.ids[:10])
                raise MetergateError(
                    f'"{found.instrument}" is not in the sample of inspection {number}: {ids}'
                )
            return _standing(number, [*entries, *file.add(entries, found.model_dump(mode="json"))])

    def open(self, number: int, finding: Opened) -> tuple[Inspection, int]:
        """Add a finding; return its number too. Raises MetergateError, StorageError."""
        self.at(number)
        file = self._file(number)
        with file.held() as entries:
            before = _standing(number, entries)
            if finding.instrument and finding.instrument not in before.ids:
                raise MetergateError(f'"{finding.instrument}" is not in the sample of inspection {number}')
            made = finding.model_copy(update={"finding": len(before.opened) + 1})
            after = _standing(number, [*entries, *file.add(entries, made.model_dump(mode="json"))])
        return after, made.finding

    def close(self, number: int, closed: Closed) -> Inspection:
        """Close a finding. Raises MetergateError if it is not open; StorageError."""
        self.at(number)
        file = self._file(number)
        with file.held() as entries:
            before = _standing(number, entries)
            if closed.finding not in {one.finding for one in before.open_findings}:
                what = "is closed already" if closed.finding in before.closed else "is not there"
                raise MetergateError(f"finding {closed.finding} of inspection {number} {what}")
            return _standing(number, [*entries, *file.add(entries, closed.model_dump(mode="json"))])

    def path(self, number: int) -> Path:
        """Return the file of an inspection."""
        return self.folder / f"{number:06d}.jsonl"

    def photo_folder(self, number: int) -> Path:
        """Return where copies of photographs are kept."""
        return self.folder / f"{number:06d}"

    def _file(self, number: int) -> ChainedFile:
        return ChainedFile(self.path(number))


def read_inspection(text: bytes, name: str) -> Inspection:
    """Return an inspection from the bytes of its file, as it lies in an evidence pack. Raises StorageError."""
    match = NAME.fullmatch(name.rpartition("/")[2])
    return _standing(int(match[1]) if match else 0, read_entries(text, name))


def _standing(number: int, entries: list[Entry]) -> Inspection:
    records: list[Record] = []
    for entry in entries:
        try:
            records.append(RECORDS[entry.body["record"]].model_validate(entry.body))
        except (KeyError, TypeError, ValidationError) as error:
            raise StorageError(
                f"inspection {number} line {entry.number} is no record this version knows"
            ) from error
    if not records or not isinstance(records[0], Drawn):
        raise StorageError(f"inspection {number} does not begin with its sample")
    return Inspection(
        number,
        records[0],
        {one.instrument: one for one in records if isinstance(one, Found)},
        {one.finding: one for one in records if isinstance(one, Opened)},
        {one.finding: one for one in records if isinstance(one, Closed)},
        entries[-1].digest,
        tuple(photo for one in records if isinstance(one, Found) for photo in one.photos),
    )

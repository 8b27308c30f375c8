"""Applied inventories: one immutable file for each revision, with who approved it, when and why; contract: docs/specs/inventory.md.

A file is written beside the others, made durable and only then given its name; it is never written again. What
does not fit together (a gap, a broken or a changed file) is told, never passed over.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError

from gateway.errors import StorageError
from gateway.inventory.changes import Change, changes
from gateway.inventory.model import Inventory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

FORMAT = 1
NAME = re.compile(r"(\d{6})\.json")
KEYS = frozenset({"number", "applied_ns", "by", "why", "digest", "previous", "changes", "inventory"})
TIME_MAX_NS = 1 << 63


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < TIME_MAX_NS


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_changes(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict)
        and isinstance(one.get("what"), str)
        and isinstance(one.get("path"), str)
        and {"before", "after"} <= one.keys()
        for one in value
    )


HOLDS: Mapping[str, Callable[[object], bool]] = {
    **dict.fromkeys(("number", "applied_ns"), _is_number),
    **dict.fromkeys(("by", "why", "digest", "previous"), _is_text),
    "changes": _are_changes,
}
"""What the head of a revision must hold."""
FOLDER = "inventory"
"""Folder of the revisions in the state folder."""


@dataclass(frozen=True, slots=True)
class Head:
    """A revision without its inventory. digest: of its inventory; previous: of the one before it, "" at the first."""

    number: int
    applied_ns: int
    by: str
    why: str
    digest: str
    previous: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Revision(Head):
    """An inventory as it was applied."""

    inventory: Inventory

    @property
    def head(self) -> Head:
        """Return the revision without its inventory."""
        return Head(self.number, self.applied_ns, self.by, self.why, self.digest, self.previous, self.changes)


class Revisions:
    """The revisions in a folder, numbered from 1."""

    def __init__(self, folder: Path) -> None:
        """folder: need not exist before the first revision."""
        self._folder = folder

    def numbers(self) -> list[int]:
        """Return the numbers there are, 1 to the newest. Raises StorageError if one is missing or the folder cannot be read."""
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"{self._folder}: {error.strerror}; run it as the gateway's user") from error
        found = sorted(int(match[1]) for match in map(NAME.fullmatch, names) if match)
        missing = sorted(set(range(1, max(found, default=0) + 1)) - set(found))
        if missing or (found and found[0] < 1):
            which = ", ".join(f"{number:06d}.json" for number in missing[:5]) or "000000.json is no revision;"
            raise StorageError(
                f"{self._folder}: {which} of the revisions of the inventory is missing; put it back from a backup"
            )
        return found

    def newest(self) -> Revision | None:
        """Return the revision in force, None if none was applied. Raises StorageError for damage."""
        numbers = self.numbers()
        return self.at(numbers[-1]) if numbers else None

    def heads(self) -> list[Head]:
        """Return every revision without its inventory, the oldest first. Raises StorageError for damage."""
        found: list[Head] = []
        for number in self.numbers():
            body = self._body(number)
            head = self._head(number, body)
            if head.previous != (found[-1].digest if found else ""):
                raise self._damaged(number, "does not follow the revision before it")
            found.append(head)
        return found

    def at(self, number: int) -> Revision:
        """Return one revision. Raises StorageError if it is not there or damaged."""
        body = self._body(number)
        head = self._head(number, body)
        if number > 1 and self._head(number - 1, self._body(number - 1)).digest != head.previous:
            raise self._damaged(number, "does not follow the revision before it")
        try:
            # without the cross checks: it held together when it was applied, and a later version may ask for more
            inventory = Inventory.model_validate(body["inventory"])
        except ValidationError as error:
            what = f"holds an inventory this version cannot read: {error.error_count()} problems"
            raise self._damaged(number, what) from error
        if inventory.digest != head.digest:
            raise self._damaged(number, "holds another inventory than it says")
        return Revision(
            head.number,
            head.applied_ns,
            head.by,
            head.why,
            head.digest,
            head.previous,
            head.changes,
            inventory,
        )

    def add(self, inventory: Inventory, by: str, why: str, now_ns: int) -> Revision:
        """Return the new revision, which is on disk. now_ns: time since 1970.

        Raises StorageError if it cannot be written, ValueError if nothing changed or who or why is blank.
        """
        if not by.strip() or not why.strip():
            raise ValueError("a revision says who approved it and why")
        with self._alone():
            before = self.newest()
            if before is not None and before.digest == inventory.digest:
                raise ValueError("nothing changed")
            number = 1 if before is None else before.number + 1
            told = tuple(changes(None if before is None else before.inventory, inventory))
            digest = "" if before is None else before.digest
            made = Revision(
                number, now_ns, by.strip(), why.strip(), inventory.digest, digest, told, inventory
            )
            self._write(made)
        return made

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.json"

    def _damaged(self, number: int, what: str) -> StorageError:
        return StorageError(f"{self._path(number)} {what}; put it back from a backup")

    def _body(self, number: int) -> dict[str, Any]:
        """Return what a file holds, whole as it was written."""
        try:
            body = orjson.loads(self._path(number).read_bytes())
        except OSError as error:
            raise StorageError(f"{self._path(number)}: {error.strerror}") from error
        except orjson.JSONDecodeError as error:
            raise self._damaged(number, f"is truncated or broken ({error.msg})") from error
        if not isinstance(body, dict) or body.get("format") != FORMAT or not body.keys() >= KEYS:
            raise self._damaged(number, f"is no revision of format {FORMAT}")
        if body.pop("seal", None) != _seal(body):
            raise self._damaged(number, "was changed after it was written")
        return body

    def _head(self, number: int, body: dict[str, Any]) -> Head:
        """Return the head of a file that is whole: its seal tells damage, not who wrote it with a seal that fits."""
        if wrong := [name for name, holds in HOLDS.items() if not holds(body[name])]:
            raise self._damaged(number, f"holds no usable {', '.join(wrong)}")
        if body["number"] != number:
            raise self._damaged(number, f"is revision {body['number']}")
        return Head(
            number,
            body["applied_ns"],
            body["by"],
            body["why"],
            body["digest"],
            body["previous"],
            tuple(body["changes"]),
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder against another who applies at this moment; made if it is not there."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"{self._folder}: {error.strerror}; run it as the gateway's user") from error
        try:
            self._belongs(fd)
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _belongs(self, fd: int) -> None:
        """Give what root makes to the owner of the state folder, since the gateway has to read it."""
        if os.geteuid() == 0:
            owner = self._folder.parent.stat()
            os.fchown(fd, owner.st_uid, owner.st_gid)
            os.chown(self._folder, owner.st_uid, owner.st_gid)

    def _write(self, made: Revision) -> None:
        body = _file_body(made)
        path = self._path(made.number)
        new = path.with_suffix(".new")
        try:
            new.unlink(missing_ok=True)  # of one who was cut off
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o440)
            with os.fdopen(fd, "wb") as file:
                self._belongs(fd)
                file.write(orjson.dumps(body | {"seal": _seal(body)}, option=orjson.OPT_INDENT_2))
                file.flush()
                os.fsync(file.fileno())
            os.link(new, path)  # refuses to take the place of one that is there, which a rename would not
            new.unlink()
            folder = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise StorageError(f"{path}: {error.strerror}; the inventory was not applied") from error


def _file_body(made: Revision) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "number": made.number,
        "applied_ns": made.applied_ns,
        "by": made.by,
        "why": made.why,
        "digest": made.digest,
        "previous": made.previous,
        "changes": list(made.changes),
        "inventory": made.inventory.model_dump(mode="json", by_alias=True, exclude_defaults=True),
    }


def _seal(body: dict[str, Any]) -> str:
    """Return SHA-256 (hex) over everything else in the file: tells damage, not forgery."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()

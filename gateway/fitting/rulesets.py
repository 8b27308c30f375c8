"""Rulesets found, read and merged with what they build on; contract: docs/specs/ruleset.md.

A row with the id of a row of the base takes its place, any other comes before the base's (of classes the first that fits
holds), `remove` drops; interpretations are merged by switch; `ladder` and `proof` are replaced whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gateway
from gateway.config.text_files import decoded, parsed, read_bytes, too_deep
from gateway.config.values import nearest
from gateway.errors import ConfigError, Finding
from gateway.findings import parse, shorten
from gateway.fitting.ruleset import Meta, Ruleset
from gateway.fitting.ruleset_check import LISTS, SINGLES, check_file, check_whole, first_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZE_MAX_BYTES = 1 << 20
INHERITED = ("valid_from", "superseded_on", "superseded_by", "water")
"""Keys of `[ruleset]` that are the base's where a ruleset does not state its own."""


def shipped_dir() -> Path:
    """Return the folder of the rulesets that come with the gateway: in the installed package, else in the checkout."""
    package = Path(gateway.__file__).resolve().parent
    installed = package / "_config" / "rulesets"
    return installed if installed.is_dir() else package.parent / "config" / "rulesets"


class Rulesets:
    """The rulesets of some folders and the shipped ones; of two with the same id the one in the folder named first wins."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        """folders: of own rulesets, searched in this order, then the shipped ones; one that does not exist is empty."""
        self._files: dict[str, Path] = {}
        for folder in (*folders, shipped_dir()):
            for path in sorted(folder.glob("*.toml")):
                self._files.setdefault(path.stem, path)

    def names(self) -> tuple[str, ...]:
        """Return the ids in alphabetical order; nothing is read."""
        return tuple(sorted(self._files))

    def is_shipped(self, name: str) -> bool:
        """Return whether a ruleset comes with the gateway."""
        return self._files[name].parent == shipped_dir()

    def path(self, name_or_path: str) -> Path:
        """Return the file of a ruleset. Raises ConfigError if there is none of that id."""
        if "/" in name_or_path or name_or_path.endswith(".toml"):
            return Path(name_or_path)
        if name_or_path not in self._files:
            raise ConfigError([self._unknown("ruleset", name_or_path)])
        return self._files[name_or_path]

    def get(self, name_or_path: str) -> Ruleset:
        """Return a ruleset with its bases merged, by its id or its file. Raises ConfigError with every finding."""
        chain = self._chain(self.path(name_or_path))
        *_, (oldest, whole) = chain
        files = {row.id: oldest.name for _, row in rows_of(whole)}
        shipped = whole if self._comes_along(oldest) else None
        for path, ruleset in reversed(chain[:-1]):
            whole = _merged(ruleset, whole, path.name)
            files |= {row.id: path.name for _, row in rows_of(ruleset)}
            shipped = whole if self._comes_along(path) else shipped
        if findings := check_whole(whole, files):
            raise ConfigError(first_of(findings, chain[0][0].name))
        return whole.differing(_differences(whole, shipped))

    @staticmethod
    def _comes_along(path: Path) -> bool:
        """Return whether a file is a shipped one, or an unchanged copy. Raises ConfigError for another that takes its name."""
        shipped = shipped_dir() / path.name
        if not shipped.is_file():
            return False
        if path.resolve() == shipped.resolve() or path.read_bytes() == shipped.read_bytes():
            return True
        hint = f'rename it to own-{path.name}, and write id = "own-{path.stem}" and base = "{path.stem}" in [ruleset]'
        what = "another content than the one shipped under this id"
        raise ConfigError([Finding(f"{path}: ruleset.id", what, "an id of its own", hint)])

    def _chain(self, path: Path) -> list[tuple[Path, Ruleset]]:
        """Return a file and all it builds on, itself first."""
        chain: list[tuple[Path, Ruleset]] = []
        while True:  # ends: an id comes once, and there are finitely many files
            ruleset = _read(path)
            chain.append((path, ruleset))
            base = ruleset.ruleset.base
            if not base:
                return chain
            where = f"{path.name}: ruleset.base"
            ids = [one.ruleset.id for _, one in chain]
            if base in ids:
                found = " builds on ".join([*ids, base])
                raise ConfigError([Finding(where, found, "a ruleset that does not build on this one")])
            beside = chain[0][0].with_name(f"{base}.toml")  # a file given by its path may lie beside its base
            if base not in self._files and not beside.is_file():
                raise ConfigError([self._unknown(where, base)])
            path = self._files.get(base, beside)

    def _unknown(self, where: str, name: str) -> Finding:
        near = nearest(name, self._files)
        known = ", ".join(self.names()) or "none is here"
        hint = f'did you mean "{near}"?' if near else "or the path of a file: ./own.toml"
        return Finding(where, f'"{shorten(name)}"', f"the id of a ruleset: {known}", hint)


def _read(path: Path) -> Ruleset:
    """Return what stands in one file. Raises ConfigError with every finding, each led by the file's name."""
    try:
        ruleset, findings = parse(Ruleset, _tables(path), "", {})
    except RecursionError:
        raise too_deep(path, "TOML") from None
    if ruleset is not None:
        findings += check_file(ruleset, path.stem)
    if ruleset is None or findings:
        raise ConfigError(
            first_of(
                [Finding(f"{path.name}: {f.path}", f.found, f.expected, f.suggestion) for f in findings],
                path.name,
            )
        )
    return ruleset


def _tables(path: Path) -> dict[str, Any]:
    hint = "`metergate rulesets` lists those there are"
    text = decoded(read_bytes(path, SIZE_MAX_BYTES, "a ruleset", hint), path)
    return parsed(text, path, LISTS)


def _merged(over: Ruleset, base: Ruleset, file: str) -> Ruleset:
    """Return a ruleset with the rows of its base it neither replaces nor removes."""
    removed, known = set(over.ruleset.remove), {row.id for _, row in rows_of(base)}
    if missing := [name for name in over.ruleset.remove if name not in known]:
        raise ConfigError([_not_removable(name, known, base, file) for name in missing])
    parts: dict[str, Any] = {"ruleset": _meta(over.ruleset, base.ruleset, file)}
    parts["interpretations"] = {**base.interpretations, **over.interpretations}
    for table in LISTS:
        own = {row.id: row for row in getattr(over, table)}
        kept = [row for row in getattr(base, table) if row.id not in removed or row.id in own]
        taken = {row.id for row in kept}
        first = [row for row in own.values() if row.id not in taken]
        parts[table] = (*first, *(own.get(row.id, row) for row in kept))
    for table in SINGLES:
        below = getattr(base, table)
        dropped = below is not None and below.id in removed
        parts[table] = getattr(over, table) or (None if dropped else below)
    return Ruleset.model_construct(**parts)


def _not_removable(name: str, known: set[str], base: Ruleset, file: str) -> Finding:
    near = nearest(name, sorted(known))
    hint = f'did you mean "{near}"?' if near else ""
    return Finding(f"{file}: ruleset.remove", f'"{name}"', f"the id of a row of {base.ruleset.id}", hint)


def _meta(over: Meta, base: Meta, file: str) -> Meta:
    """Return what a ruleset says of itself; that its base is superseded, and what must be known of it, stays said."""
    until, own_until = base.superseded_on, over.superseded_on
    if (
        until is not None
        and "superseded_on" in over.model_fields_set
        and (not own_until or own_until > until)
    ):
        hint = "a ruleset that holds a whole newer edition has no base"
        expected = f"{until} or an earlier day, as {base.id} is superseded then"
        raise ConfigError([Finding(f"{file}: ruleset.superseded_on", str(own_until or '""'), expected, hint)])
    parts: dict[str, Any] = {key: getattr(base, key) for key in INHERITED if key not in over.model_fields_set}
    parts["superseded_by"] = over.superseded_by or base.superseded_by
    for key in ("note", "note_zh"):
        own, below = getattr(over, key), getattr(base, key)
        if below:
            parts[key] = " ".join(filter(None, (own, f"{base.id}: {below}")))
    return over.model_copy(update=parts)


def _differences(whole: Ruleset, shipped: Ruleset | None) -> tuple[str, ...]:
    """Return ids of the rows added, changed or left out, switches answered otherwise; "*" of what builds on nothing shipped."""
    if shipped is None:
        return ("*",)
    own, base = ({row.id: row for _, row in rows_of(one)} for one in (whole, shipped))
    rows = [name for name in own if own[name] != base.get(name)] + [name for name in base if name not in own]
    switches = sorted(whole.interpretations.keys() | shipped.interpretations.keys())
    answers = [
        name
        for name in switches
        if whole.choice(name) != shipped.choice(name)
        or whole.interpretations.get(name) != shipped.interpretations.get(name)
    ]
    about = [
        f"ruleset.{key}"
        for key in ("valid_from", "water")
        if getattr(whole.ruleset, key) != getattr(shipped.ruleset, key)
    ]
    return (*rows, *answers, *about)

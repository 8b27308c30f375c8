"""What the tables of a ruleset must say together: what one file must hold, and what it must hold once its base is merged. Pure."""

from __future__ import annotations

from collections import Counter
from datetime import date
from itertools import combinations
from typing import TYPE_CHECKING, TypeVar

from gateway.config.values import nearest
from gateway.errors import Finding
from gateway.fitting.ruleset import PERCENT, SWITCHES, Limit, Proof, Rate, Share

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from gateway.fitting.ruleset import Cited, Ladder, Ruleset

LISTS = ("limits", "rates", "shares", "classes", "user_classes", "notes", "equivalents")
SINGLES = ("ladder", "proof")
LEVELS = ("1", "2", "3")
C = TypeVar("C", Limit, Rate, Share)


def rows_of(ruleset: Ruleset) -> Iterator[tuple[str, Cited]]:
    """Yield every row with its place in the file: `limits[1]`, `ladder`."""
    for table in LISTS:
        for n, row in enumerate(getattr(ruleset, table), 1):
            yield f"{table}[{n}]", row
    for table in SINGLES:
        row = getattr(ruleset, table)
        if row is not None:
            yield table, row


def check_file(ruleset: Ruleset, stem: str) -> list[Finding]:
    """Return every finding in one file that does not depend on a base. stem: its name without `.toml`."""
    findings = []
    if ruleset.ruleset.id != stem:
        findings.append(
            Finding("ruleset.id", f'"{ruleset.ruleset.id}"', f'the name of the file, "{stem}"', "rename one")
        )
    findings += _interpretations(ruleset)
    rows = list(rows_of(ruleset))
    taken = Counter(row.id for _, row in rows)
    for place, row in rows:
        if taken[row.id] > 1:
            findings.append(Finding(f"{place}.id", f'"{row.id}", {taken[row.id]} times', "an id of its own"))
        findings += _when(place, row)
        findings += _days(place, row)
        findings += _figures(place, row)
    return findings


def check_whole(ruleset: Ruleset, files: Mapping[str, str]) -> list[Finding]:
    """Return every finding in a ruleset with its base merged. files: row id -> name of the file it comes from."""
    taken = Counter(row.id for _, row in rows_of(ruleset))
    findings = [
        *(
            Finding(f"{files.get(id_, '')}: a row", f'"{id_}", in {count} tables', "an id of its own")
            for id_, count in taken.items()
            if count > 1
        ),
        *_single(ruleset, ruleset.limits, "limit", files),
        *_single(ruleset, ruleset.rates, "rate", files),
        *_single(ruleset, ruleset.shares, "share", files),
    ]
    known = list(dict.fromkeys(row.user_class for row in ruleset.user_classes))
    for row in ruleset.classes:
        where = f'{files.get(row.id, "")}: classes "{row.id}"'
        for name in row.user_classes:
            if name not in known:
                findings.append(_unknown(f"{where}.user_classes", name, known))
        if ruleset.ladder is not None and set(row.categories) & set(ruleset.ladder.categories):
            findings += _on_ladder(f"{where}.accuracy_class", row.accuracy_class, ruleset.ladder)
    if ruleset.ladder is not None:
        findings += _ladder(f"{files.get(ruleset.ladder.id, '')}: ladder", ruleset.ladder)
    return findings


def _interpretations(ruleset: Ruleset) -> Iterator[Finding]:
    for switch, chosen in ruleset.interpretations.items():
        path = f"interpretations.{switch}"
        if switch not in SWITCHES:
            yield _unknown(path, switch, list(SWITCHES), "an unknown switch")
        elif chosen.choice not in SWITCHES[switch]:
            yield _unknown(f"{path}.choice", chosen.choice, SWITCHES[switch])


def _when(place: str, row: Cited) -> Iterator[Finding]:
    if not row.when:
        return
    switch, sign, choice = row.when.partition("=")
    if not sign:
        yield Finding(f"{place}.when", f'"{row.when}"', '"switch=choice", such as "hot_water_row=steam"')
    elif switch not in SWITCHES:
        yield _unknown(f"{place}.when", switch, list(SWITCHES))
    elif choice not in SWITCHES[switch]:
        yield _unknown(f"{place}.when", choice, SWITCHES[switch])


def _days(place: str, row: Cited) -> Iterator[Finding]:
    if row.valid_from is not None and row.valid_to is not None and row.valid_to < row.valid_from:
        yield Finding(f"{place}.valid_to", str(row.valid_to), f"a day from {row.valid_from} on")


def _figures(place: str, row: Cited) -> Iterator[Finding]:
    if not getattr(row, "energy_kinds", (1,)) and isinstance(row, (Limit, Rate)):
        yield Finding(f"{place}.energy_kinds", "an empty list", "at least one energy kind")
    if isinstance(row, Limit) and (row.rated is None) == (row.yearly is None):
        found = "neither rated nor yearly" if row.rated is None else "both rated and yearly"
        yield Finding(place, found, "exactly one of them", 'rated = "100 kW" or yearly = "100 t"')
    if isinstance(row, (Rate, Share)) and row.percent > PERCENT:
        yield Finding(f"{place}.percent", f"{row.percent:f}", "at most 100")
    if isinstance(row, Proof) and not 1 <= row.good_percent <= PERCENT:
        hint = f"did you mean {(row.good_percent * 100).normalize():f}?" if row.good_percent < 1 else ""
        yield Finding(f"{place}.good_percent", f"{row.good_percent:f}", "a percentage, 1 to 100", hint)


def _single(ruleset: Ruleset, rows: Iterable[C], what: str, files: Mapping[str, str]) -> Iterator[Finding]:
    """Yield a finding for each two rows that speak of the same level and energy kind on the same day."""
    holding = [row for row in rows if _chosen(ruleset, row)]
    for one, other in combinations(holding, 2):
        shared = _kinds(one) & _kinds(other)
        if one.level == other.level and shared and _overlap(one, other):
            yield Finding(
                f'{files.get(one.id, "")}: {what}s "{one.id}"',
                f'another {what} of level {one.level} for {", ".join(sorted(shared))}: "{other.id}"',
                f"at most one {what} in force for an energy kind at a level",
                f'give both the same id to replace it, or remove = ["{other.id}"] in [ruleset]',
            )


def _chosen(ruleset: Ruleset, row: Cited) -> bool:
    switch, _, wanted = row.when.partition("=")
    return not switch or ruleset.choice(switch) == wanted


def _kinds(row: Limit | Rate | Share) -> set[str]:
    return {row.energy_kind} if isinstance(row, Share) else set(row.energy_kinds)


def _overlap(one: Cited, other: Cited) -> bool:
    first, last = date.min, date.max
    return (one.valid_from or first) <= (other.valid_to or last) and (other.valid_from or first) <= (
        one.valid_to or last
    )


def _on_ladder(path: str, name: str, ladder: Ladder) -> Iterator[Finding]:
    if ladder.equivalents.get(name, name) not in ladder.classes:
        yield _unknown(path, name, ladder.classes)


def _ladder(where: str, ladder: Ladder) -> Iterator[Finding]:
    if not ladder.classes:
        yield Finding(f"{where}.classes", "an empty list", "classes from best to worst")
    if len(set(ladder.classes)) < len(ladder.classes):
        yield Finding(f"{where}.classes", "the same class twice", "each class once, from best to worst")
    for level, steps in ladder.steps_down.items():
        if level not in LEVELS:
            yield Finding(f"{where}.steps_down", f'"{level}"', "a level: " + ", ".join(LEVELS))
        elif steps < 0:
            yield Finding(f"{where}.steps_down.{level}", str(steps), "0 or more steps towards the worse")
    for name, rung in ladder.equivalents.items():
        if rung not in ladder.classes:
            yield _unknown(f"{where}.equivalents.{name}", rung, ladder.classes)


def _unknown(path: str, word: str, known: Collection[str], found: str = "") -> Finding:
    near = nearest(word, known)
    return Finding(
        path,
        found or f'"{word}"',
        "one of " + ", ".join(known),
        f'did you mean "{near}"?' if near else "",
    )

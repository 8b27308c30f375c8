"""What the tables of a ruleset must say together: what one file must hold, and what it must hold once its base is merged. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

from gateway.config.values import nearest
from gateway.errors import Finding
from gateway.fitting.ruleset import PERCENT, SWITCHES, Equivalent, Limit, Proof, Rate, Share
from gateway.inventory.values import ENERGY, HEAT_RATE, MASS, MASS_RATE, POWER, VOLUME, VOLUME_RATE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from gateway.fitting.ruleset import Cited, Ladder, Ruleset

LISTS = ("limits", "rates", "shares", "classes", "user_classes", "notes", "equivalents")
SINGLES = ("ladder", "proof")
LEVELS = ("1", "2", "3")
FINDINGS_MAX = 50
"""How many findings are told of one file; of a generated one there may be millions."""
BY_ENERGY = frozenset({*POWER, *ENERGY, *HEAT_RATE})
BY_AMOUNT = frozenset({*MASS, *VOLUME, *MASS_RATE, *VOLUME_RATE})
UNITS_OF = {
    "electricity": BY_ENERGY,
    **dict.fromkeys(("water", "compressed_air", "oxygen", "nitrogen"), BY_AMOUNT),
}
"""Units that can limit an energy kind; of one that is not here any can: fuels and heat go by mass, volume or energy."""
LETTERS = 'or say what it stands for: [ladder] equivalents = { B = "1.0" }'
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
        is_on_ladder = ruleset.ladder and set(row.categories) & set(ruleset.ladder.categories)
        if not row.accuracy_class:
            findings.append(Finding(f"{where}.accuracy_class", "nothing", 'a class: "0.5S", "1.0"'))
        elif not is_on_ladder:
            findings += _readable(f"{where}.accuracy_class", row.accuracy_class, ruleset.ladder)
        elif ruleset.ladder is not None:
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
    if isinstance(row, Limit):
        yield from _suiting(place, row)
    if isinstance(row, Equivalent):
        yield from _equivalent(place, row)
    if isinstance(row, (Rate, Share)) and row.percent > PERCENT:
        yield Finding(f"{place}.percent", f"{row.percent:f}", "at most 100")
    if isinstance(row, Proof) and not 1 <= row.good_percent <= PERCENT:
        hint = f"did you mean {(row.good_percent * 100).normalize():f}?" if row.good_percent < 1 else ""
        yield Finding(f"{place}.good_percent", f"{row.good_percent:f}", "a percentage, 1 to 100", hint)


def _single(ruleset: Ruleset, rows: Iterable[C], what: str, files: Mapping[str, str]) -> Iterator[Finding]:
    """Yield a finding for each two rows that speak of the same level and energy kind on the same day."""
    held: dict[tuple[int, str], list[C]] = defaultdict(list)
    for row in rows:
        if _chosen(ruleset, row):
            for kind in _kinds(row):
                held[row.level, kind].append(row)
    pairs: dict[tuple[str, str], tuple[C, C, list[str]]] = {}
    for (_, kind), holding in held.items():
        for one, other in _clashes(holding):
            pairs.setdefault((one.id, other.id), (one, other, []))[2].append(kind)
    for one, other, kinds in pairs.values():
        yield Finding(
            f'{files.get(one.id, "")}: {what}s "{one.id}"',
            f'another {what} of level {one.level} for {", ".join(sorted(kinds))}: "{other.id}"',
            f"at most one {what} in force for an energy kind at a level",
            f'give both the same id to replace it, or remove = ["{other.id}"] in [ruleset]',
        )


def _clashes(rows: Sequence[C]) -> Iterator[tuple[C, C]]:
    """Yield each row, by its first day, with the one before it that lasts longest, if that is still in force then."""
    place = {id(row): n for n, row in enumerate(rows)}
    lasting: C | None = None
    for row in sorted(rows, key=lambda one: one.valid_from or date.min):
        if lasting is not None and (row.valid_from or date.min) <= (lasting.valid_to or date.max):
            first, second = sorted((lasting, row), key=lambda one: place[id(one)])
            yield first, second
        if lasting is None or (row.valid_to or date.max) > (lasting.valid_to or date.max):
            lasting = row


def _chosen(ruleset: Ruleset, row: Cited) -> bool:
    switch, _, wanted = row.when.partition("=")
    return not switch or ruleset.choice(switch) == wanted


def _kinds(row: Limit | Rate | Share) -> set[str]:
    return {row.energy_kind} if isinstance(row, Share) else set(row.energy_kinds)


def _suiting(place: str, row: Limit) -> Iterator[Finding]:
    """Yield energy kinds that no amount in the limit's unit is ever stated of."""
    limit = row.rated or row.yearly
    if limit is None:
        return
    wrong = [kind for kind in row.energy_kinds if limit.unit not in UNITS_OF.get(kind, (limit.unit,))]
    if wrong:
        key = "yearly" if row.rated is None else "rated"
        of = "power or energy" if "electricity" in wrong else "mass or volume"
        yield Finding(f"{place}.{key}", f"{limit} of {', '.join(wrong)}", f"a unit of {of}")


def _equivalent(place: str, row: Equivalent) -> Iterator[Finding]:
    if row.unit not in BY_ENERGY | BY_AMOUNT:
        yield _unknown(f"{place}.unit", row.unit, sorted(BY_ENERGY | BY_AMOUNT))
    if row.equals is None or row.equals.value <= 0:
        found = "nothing" if row.equals is None else str(row.equals)
        yield Finding(f"{place}.equals", found, "an amount above 0 that one of the unit stands for")


def _readable(path: str, name: str, ladder: Ladder | None) -> Iterator[Finding]:
    """Yield a class that cannot be compared: letters mean something only by the ladder's equivalents."""
    if not name[0].isdigit() and (ladder is None or name not in ladder.equivalents):
        yield Finding(path, f'"{name}"', 'a class as a number: "0.5S", "1.0"', LETTERS)


def _on_ladder(path: str, name: str, ladder: Ladder) -> Iterator[Finding]:
    if ladder.equivalents.get(name, name) not in ladder.classes:
        yield _unknown(path, name, ladder.classes)


def _ladder(where: str, ladder: Ladder) -> Iterator[Finding]:
    if not ladder.classes:
        yield Finding(f"{where}.classes", "an empty list", "classes from best to worst")
    if len(set(ladder.classes)) < len(ladder.classes):
        yield Finding(f"{where}.classes", "the same class twice", "each class once, from best to worst")
    letters = [name for name in ladder.classes if not name[:1].isdigit()]
    if letters:
        found = ", ".join(f'"{name}"' for name in letters)
        yield Finding(f"{where}.classes", found, 'classes as numbers: "0.5S", "1.0"', LETTERS)
    elif list(ladder.classes) != sorted(ladder.classes, key=_worse):
        found = ", ".join(ladder.classes)
        yield Finding(f"{where}.classes", found, "classes from best to worst", "turn them round")
    for level, steps in ladder.steps_down.items():
        if level not in LEVELS:
            yield Finding(f"{where}.steps_down", f'"{level}"', "a level: " + ", ".join(LEVELS))
        elif steps < 0:
            yield Finding(f"{where}.steps_down.{level}", str(steps), "0 or more steps towards the worse")
    for name, rung in ladder.equivalents.items():
        if rung not in ladder.classes:
            yield _unknown(f"{where}.equivalents.{name}", rung, ladder.classes)


def _worse(name: str) -> tuple[Decimal, bool]:
    """Return what classes are ordered by, the most accurate first: 0.5S before 0.5."""
    return Decimal(name.removesuffix("S")), not name.endswith("S")


def first_of(findings: Sequence[Finding], file: str) -> list[Finding]:
    """Return the first findings, and how many more there are."""
    if len(findings) <= FINDINGS_MAX:
        return list(findings)
    rest = Finding(f"{file}: the rest", f"{len(findings) - FINDINGS_MAX:,} more findings", "none")
    return [*findings[:FINDINGS_MAX], rest]


def _unknown(path: str, word: str, known: Collection[str], found: str = "") -> Finding:
    near = nearest(word, known)
    return Finding(
        path,
        found or f'"{word}"',
        "one of " + ", ".join(known),
        f'did you mean "{near}"?' if near else "",
    )

"""The replays of a gateway: which layout stands for which, in which time, under which revision number.

They lie in `replays.json` in the state folder, replaced as a whole: a revision must stay above every earlier one for as
long as a database keeps the readings, which is longer than the journal keeps the events. The layouts are kept whole: no sample
is journaled with them, and the next correction of the profile would leave nothing that says what a revision was made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from gateway.errors import StorageError
from gateway.state_folder import replace_file

if TYPE_CHECKING:
    from pathlib import Path

FILE = "replays.json"
RULES_MAX = 10_000


class Rule(NamedTuple):
    """Samples of layout `before` in from_ns <= time < to_ns are read as layout `after` says. rev: above all before it.

    layout: the one whose digest is `after`, as `Layout.to_dict` has it; None in rules of versions that did not keep it.
    """

    meter: str
    from_ns: int
    to_ns: int
    before: str
    after: str
    rev: int
    layout: dict[str, Any] | None = None


class Rules:
    """Every rule there is, oldest first; read from the file when first asked for, so that a spoilt one stops no start."""

    def __init__(self, folder: Path) -> None:
        """folder: of the state."""
        self._file = folder / FILE
        self._known: list[Rule] | None = None

    @property
    def _rules(self) -> list[Rule]:
        """Return every rule. Raises StorageError if the file is there and cannot be read."""
        if self._known is None:
            self._known = self._read()
        return self._known

    def _read(self) -> list[Rule]:
        try:
            body = orjson.loads(self._file.read_bytes())
            if isinstance(body, list):  # as versions wrote it that kept no layouts
                return [Rule(**entry) for entry in body]
            return [Rule(**entry, layout=body["layouts"].get(entry["after"])) for entry in body["rules"]]
        except FileNotFoundError:
            return []
        except (OSError, orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
            raise StorageError(
                f"{self._file} cannot be read ({error}); without it no revision can be known to be the newest. Put it back from "
                "a copy, or move it aside and replay everything again that was replayed before"
            ) from error

    def newest(self, meter: str, before: str, from_ns: int, to_ns: int) -> Rule | None:
        """Return the newest rule for a layout that touches this time."""
        rule: Rule
        for rule in reversed(self._rules):
            if (rule.meter, rule.before) == (meter, before) and rule.from_ns < to_ns and from_ns < rule.to_ns:
                return rule
        return None

    def of(self, meter: str) -> list[Rule]:
        """Return every rule of a meter, newest first. Raises StorageError if the file cannot be read."""
        return [rule for rule in reversed(self._rules) if rule.meter == meter]

    def known(self, meter: str, from_ns: int, to_ns: int, before: str, after: str) -> Rule | None:
        """Return the rule that says this already, with no newer one in between: writing it again is the same lines."""
        rule = self.newest(meter, before, from_ns, to_ns)
        if rule is None or rule.after != after or rule.from_ns > from_ns or rule.to_ns < to_ns:
            return None
        return rule

    def next_rev(self, meter: str) -> int:
        """Return a revision above every one of the meter."""
        return 1 + max((rule.rev for rule in self._rules if rule.meter == meter), default=0)

    def add(self, rule: Rule) -> None:
        """Keep a rule, on disk before this returns; blocks. Raises StorageError."""
        if len(self._rules) >= RULES_MAX:
            raise StorageError(
                f"{self._file} holds {RULES_MAX} replays, which is all there may be. Move it aside, restart the gateway, and "
                "replay again what was replayed before, in longer times"
            )
        rules = [*self._rules, rule]
        entries = [one._asdict() for one in rules]
        layouts = {one.after: one.layout for one in rules if one.layout is not None}
        for entry in entries:
            del entry["layout"]
        body = orjson.dumps({"rules": entries, "layouts": layouts}, option=orjson.OPT_INDENT_2)
        try:
            replace_file(self._file, body)
        except OSError as error:
            raise StorageError(
                f"{self._file} cannot be written: {error}. Free space, or give its folder to the gateway's user; then ask again: "
                "it writes the same lines"
            ) from error
        self._known = rules

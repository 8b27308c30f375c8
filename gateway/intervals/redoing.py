"""What only the journal and the history can make anew: intervals closed long ago, readings by another rule. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model import Event


class Redo(NamedTuple):
    """Intervals of a meter, at from_ns <= time < to_ns, to be made anew.

    replay: samples of layout `before` there are to be read by the rule `layout`, whose digest is `after` and whose revision is
    `rev`; everything there is closed. meter_swap, ratio_change: the intervals in the span are closed too long for the engine;
    detail: of the event.
    """

    kind: Literal["replay", "meter_swap", "ratio_change"]
    meter: str
    from_ns: int
    to_ns: int
    before: str = ""
    after: str = ""
    layout: Mapping[str, Any] = {}
    rev: int = 0
    detail: Mapping[str, Any] = {}

    def row(self) -> list[Any]:
        """Return it as plain JSON values; `redo_from` gives an equal one back."""
        return list(self)


def redo_from(row: Sequence[Any]) -> Redo:
    """Return the redo a row stands for. Raises TypeError on a damaged one."""
    return Redo(*row)


def replay_of(event: Event) -> Redo | None:
    """Return what a `replay` event asks for; None if it does not say what."""
    detail = event.detail
    from_ns, to_ns, rev, layout = (detail.get(name) for name in ("from_ns", "to_ns", "rev", "layout"))
    if not (isinstance(from_ns, int) and isinstance(to_ns, int) and isinstance(layout, Mapping)):
        return None
    return Redo(
        "replay",
        event.subject,
        from_ns,
        to_ns,
        str(detail.get("before", "")),
        str(detail.get("after", "")),
        layout,
        rev if isinstance(rev, int) else 0,
    )

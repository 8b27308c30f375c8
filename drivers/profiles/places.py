"""Where a channel lies in its meter, as text: evidence a layout keeps. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers.identifiers import CjtSource, DltSource

if TYPE_CHECKING:
    from collections.abc import Hashable


def source_text(source: Hashable) -> str:
    """Return where a channel lies as the layout keeps it (docs/specs/journal.md): addresses as on the wire."""
    match source:
        case DltSource():
            return f"{source.di:08X}:{source.size}"
        case CjtSource():
            return f"{source.di:04X}:{source.at}:{source.size}"
        case tuple():
            return "+".join(f"{part.function}:{part.address}:{part.count}" for part in source)
    return str(source)

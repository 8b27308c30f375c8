"""What stands on a simulated serial line: stations that hear whole frames and may answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reply:
    """What a station sends. frame: the bytes; delay_s: from the end of the request to its first bit, over the lawful gap if longer."""

    frame: bytes
    delay_s: float = 0.0


class Station(Protocol):
    """One meter on a line. Kept by its wire; called from the event loop, so it must not wait."""

    def hear(self, request: bytes) -> Reply | None:
        """Return the reply to one frame of the master (cut at silences), or None for a frame it ignores.

        request: every byte between two silences, whatever protocol it is and however broken. Never raises.
        """

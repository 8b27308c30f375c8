"""How long characters, frames and lawful silence take on a serial line. Pure."""

from __future__ import annotations

from dataclasses import dataclass

FAST_BAUD = 19_200
FAST_SILENCE_S = 0.00175
SILENCE_CHARACTERS = 3.5
"""Source: MODBUS over Serial Line V1.02, 2.5.1.1: 3.5 characters, fixed 1.750 ms above 19 200 baud.

DL/T 645 and CJ/T 188 ask for less and wake receivers with FE bytes; the longest rule serves all meters of a mixed line.
"""


@dataclass(frozen=True, slots=True)
class Timing:
    """A line's speed. parity: "N", "E" or "O"; stop: bits, 1 or 2."""

    baud: int
    parity: str = "E"
    stop: int = 1

    @property
    def character_s(self) -> float:
        """Return the time of one character: start bit, eight data bits, parity if any, stop bits."""
        return (1 + 8 + (self.parity != "N") + self.stop) / self.baud

    @property
    def silence_s(self) -> float:
        """Return the silence that must lie before a request."""
        return FAST_SILENCE_S if self.baud > FAST_BAUD else SILENCE_CHARACTERS * self.character_s

    def wire_s(self, size: int) -> float:
        """Return the time `size` bytes take on the wire."""
        return size * self.character_s

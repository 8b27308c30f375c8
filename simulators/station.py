"""What stands on a simulated serial line: stations that hear whole frames and may answer.

A line protocol of the simulators is one module with `read_profile` (what its meters show, from a profile's TOML)
and `station(site, meter, clock) -> Station`; `simulators.site` and `simulators.lines` name it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Reply:
    """What a station sends. delay_s: from the end of the request to its first bit, over the lawful gap if longer."""

    frame: bytes
    delay_s: float = 0.0


class Station(Protocol):
    """One meter on a line. Called from the event loop, so it must not wait."""

    def hear(self, request: bytes) -> Reply | None:
        """Return the reply to one frame of the master (cut at silences), or None for a frame it ignores.

        request: every byte between two silences, whatever protocol it is and however broken. Never raises.
        """


@runtime_checkable
class Refuses(Protocol):
    """A station whose protocol has refusals with a code: fault `exception` needs it."""

    def refuse(self, request: bytes, code: int) -> Reply | None:
        """Return the refusal with this code, or None for a frame it ignores."""


class Display(Protocol):
    """One channel of a simulated meter: how a value is held, and which value the meter then shows.

    modulus: where a counter rolls over, in `unit`; None: not declared.
    """

    @property
    def key(self) -> str:
        """Return the channel key."""

    @property
    def quantity(self) -> str:
        """Return the quantity, which settles what the physics gives."""

    @property
    def unit(self) -> str:
        """Return the unit shown."""

    @property
    def modulus(self) -> Fraction | None:
        """Return where a counter rolls over."""

    def encode(self, si: float, *, counter: bool, leading: bool = False) -> tuple[Any, Any]:
        """Return (what is sent, the numbers held) for a value in SI. Raises simulators.encode.DoesNotFit."""

    def shown(self, numbers: Any) -> Fraction:
        """Return the value shown for the numbers held, in `unit`, exactly."""


class Displays(Protocol):
    """What a meter type shows; what `read_profile` of a line protocol returns."""

    @property
    def registers(self) -> Sequence[Display]:
        """Return its channels."""

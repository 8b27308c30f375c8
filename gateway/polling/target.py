"""What is read on a link: one meter at one period."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.interfaces import Link, Poll


class Target(Protocol):
    """One (meter, period) to read."""

    meter: str
    period_s: float
    keys: tuple[str, ...]  # its channels

    async def poll(self, link: Link) -> Poll:
        """Return what to read; may read ratios from the meter first. Raises DeviceError, LinkDown."""

    def reconnected(self) -> None:
        """Forget what was read from the meter: its link was opened anew."""

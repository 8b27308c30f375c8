"""A request that was sent, while its answer is waited for: its deadlines, and how much of what came was looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from drivers.lines.contract import LineAsk

HEARD_MAX = 8192
LOOKS_MAX = 512
UNBELIEVED_MAX = 16
"""Of one request: bytes, pieces and refusals not believed. On a line that brings more, nothing is looked for until the next
request: what a peer sends costs this much time and no more. The longest answer byte by byte has 256 pieces."""

Answer = tuple[int, bytes]
"""Wall time in ns at which the answer was complete, and its frame."""


class Waiting:
    """A request on the line. sent_s: when its last byte is through; it expires at deadline_s, put off until hard_s."""

    __slots__ = (
        "answer",
        "ask",
        "deadline_s",
        "echo",
        "hard_s",
        "heard",
        "looks",
        "sent_s",
        "skip",
        "timer",
        "unbelieved",
    )

    def __init__(self, ask: LineAsk, answer: asyncio.Future[Answer | None], echo: bytes) -> None:
        self.ask, self.answer, self.echo = ask, answer, echo
        self.sent_s = self.deadline_s = self.hard_s = 0.0
        self.skip = 0  # refusals up to here are not believed
        self.heard = self.looks = self.unbelieved = 0
        self.timer: asyncio.TimerHandle | None = None

    def is_drowned(self) -> bool:
        """Return whether so much came that nothing is looked for any more."""
        return self.heard > HEARD_MAX or self.looks > LOOKS_MAX or self.unbelieved > UNBELIEVED_MAX

"""A serial line as a link: polls go to the reader of their protocol, the readers share the line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import DeviceError
from gateway.interfaces import unnoticed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drivers.lines.contract import Reader
    from drivers.lines.line import HalfDuplexLine
    from gateway.interfaces import Clock, Notice, Poll
    from gateway.model import Sample

    MakeReader = Callable[[HalfDuplexLine, Clock, str, Notice], Reader]


class LineLink:
    """A serial line with meters of one protocol or several. Implements `Link`."""

    def __init__(
        self,
        line: HalfDuplexLine,
        clock: Clock,
        name: str,
        readers: Mapping[str, MakeReader],
    ) -> None:
        """name: the link's id. readers: protocol -> how its reader is made; it is made when first needed."""
        self.notice: Notice = unnoticed
        self.name = name
        self.line = line
        self._clock = clock
        self._makers = readers
        self._readers: dict[str, Reader] = {}

    async def open(self) -> None:
        """Open the line. Raises LinkDown."""
        await self.line.open()

    async def close(self) -> None:
        """Close the line; never raises, may be called twice."""
        await self.line.close()

    async def read(self, poll: Poll) -> list[Sample]:
        """Return the samples of one poll. Raises DeviceError, LinkDown."""
        reader = self._readers.get(poll.protocol) or self._make(poll)
        return await reader.read(poll)

    def figures(self) -> dict[str, object]:
        """Return what line and readers have counted."""
        return self.line.figures() | {
            "protocols": {protocol: reader.figures() for protocol, reader in self._readers.items()}
        }

    def _make(self, poll: Poll) -> Reader:
        make = self._makers.get(poll.protocol)
        if make is None:
            raise DeviceError(
                f"link {self.name}, meter {poll.meter}: cannot be read: this line reads "
                f"{', '.join(sorted(self._makers))}, not {poll.protocol}; correct the meter's profile or link",
                reason="refused",
            )
        reader = make(self.line, self._clock, self.name, self._note)
        self._readers[poll.protocol] = reader
        return reader

    def _note(self, kind: str, subject: str, /, **detail: object) -> None:
        self.notice(kind, subject, **detail)

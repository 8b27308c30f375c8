"""Raw reads of a meter that is asked by identifier, DL/T 645 or CJ/T 188: each identifier once, bounded, stoppable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers.identifiers import CjtSettings, CjtSource, DltSettings, DltSource
from gateway.clock import sleep_for
from gateway.commissioning.reads import READS_MAX, SILENT_MAX, Stopped, ask_steadily, is_silence, never
from gateway.control.errands import SOURCES_MAX, Question
from gateway.errors import DeviceError
from gateway.model import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from gateway.commissioning.bus import Bus
    from gateway.control.errands import Answer
    from gateway.interfaces import Clock

TRIES = 2
"""Requests for a CJ/T 188 reply until the meter has answered once: the identifier goes high byte first, then low byte first."""
BYTES_MAX = 255  # of a data field
STOP_EVERY_S = 0.5


class IdentifiedReads:
    """What one meter answers, each question once.

    asked: requests, without those `ask_steadily` repeats over a lost link or a busy gateway. answered: it has spoken, be it a
    refusal. garbled: last answer that is none.
    """

    def __init__(
        self,
        bus: Bus,
        protocol: str,
        address: str,
        clock: Clock,
        *,
        timeout_s: float,
        late_s: float = 0.0,
        reads_max: int = READS_MAX,
        told: Callable[[], None] | None = None,
        stopped: Callable[[], bool] = never,
    ) -> None:
        """late_s: how late an answer may come on this link, so how long a question that shows no number is not asked again.

        told: called after each request. stopped: looked at before each, and while it waits.
        """
        self.protocol, self.address = protocol, address
        self.asked = 0
        self.answered = False
        self.garbled = ""
        self._bus, self._clock, self._timeout_s, self._late_s = bus, clock, timeout_s, late_s
        self._reads_max, self._told, self._stopped = reads_max, told, stopped
        self._known: dict[Hashable, bytes | DeviceError] = {}
        self._silent = 0

    async def piece(self, source: DltSource | CjtSource, settings: Hashable) -> bytes | DeviceError:
        """Return the bytes of one value, or why there are none. Raises Stopped, LinkDown, Busy."""
        if isinstance(source, DltSource):
            assert isinstance(settings, DltSettings)
            return await self.value(source.di, source.size, settings)
        assert isinstance(settings, CjtSettings)
        field = await self.field(source.di, settings)
        if isinstance(field, DeviceError):
            return field
        value = field[source.at : source.at + source.size]
        if len(value) != source.size:
            text = f"the reply has {len(field)} bytes and ends before it (byte {source.at})"
            return DeviceError(text, reason="exception")
        return value

    async def value(self, di: int, size: int, settings: DltSettings) -> bytes | DeviceError:
        """Return a DL/T 645 value, or why there is none. Raises Stopped, LinkDown, Busy."""
        place = di, size
        if place not in self._known:
            question = Question(
                self.protocol,
                self.address,
                (place,),
                timeout_s=self._timeout_s,
                preamble=settings.preamble,
            )
            answer = await self._ask(question)
            self._known[place] = answer if isinstance(answer, DeviceError) else answer.raw
        return self._known[place]

    async def field(self, di: int, settings: CjtSettings) -> bytes | DeviceError:
        """Return the whole data field of a CJ/T 188 reply, of one of the lengths the profile knows, or why there is none.

        Raises Stopped, LinkDown, Busy.
        """
        place = di, settings
        if place not in self._known:
            self._known[place] = await self._field(di, settings)
        return self._known[place]

    def forget_silence(self) -> bool:
        """Return whether something was not answered, which may be asked again now."""
        silent = [place for place, found in self._known.items() if _is_silent(found)]
        for place in silent:
            del self._known[place]
        self._silent = 0
        return bool(silent)

    async def rest(self) -> None:
        """Wait until no late answer can come any more. Raises Stopped."""
        end_s = self._clock.monotonic() + self._late_s
        while (left_s := end_s - self._clock.monotonic()) > 0:
            if self._stopped():
                raise Stopped("stopped")
            await sleep_for(self._clock, min(left_s, STOP_EVERY_S))

    async def _field(self, di: int, settings: CjtSettings) -> bytes | DeviceError:
        pieces = _pieces(settings.lengths)
        question = Question(
            self.protocol,
            self.address,
            tuple((settings.meter_type, di, at, size) for at, size in pieces),
            timeout_s=self._timeout_s,
            preamble=settings.preamble,
            echoes_ser=settings.echoes_ser,
        )
        answer = await self._ask(question)
        for _ in range(TRIES - 1):
            if not _is_silent(answer) or self.answered:
                break
            if not settings.echoes_ser:
                await self.rest()
            answer = await self._ask(question)
        return answer if isinstance(answer, DeviceError) else _whole(pieces, answer, settings.lengths)

    async def _ask(self, question: Question) -> Answer | DeviceError:
        if self._stopped():
            raise Stopped("stopped")
        if self._is_given_up():
            return DeviceError("not asked: the meter does not answer", reason="timeout")
        if self.asked >= self._reads_max:  # no silence: it says nothing of the meter, and is not asked again
            text = f"not asked: {self._reads_max} requests were made already, more are not made of one meter"
            return DeviceError(text, reason="refused")
        self.asked += 1
        try:
            answer = await ask_steadily(self._bus, question, self._clock, self._stopped)
        except DeviceError as error:
            self._silent += is_silence(error)
            self.answered = self.answered or error.reason == "exception"
            self.garbled = str(error) if error.reason == "garbage" else self.garbled
            return error
        finally:
            if self._told is not None:
                self._told()
        self.answered = True
        return answer

    def _is_given_up(self) -> bool:
        # A DL/T 645 meter that is there refuses the identifiers it lacks, so a few silences prove that nobody is. A CJ/T 188
        # meter is silent towards another meter type than its own (T, part of the request): each type has to be tried.
        return self.protocol == "dlt645" and not self.answered and self._silent >= SILENT_MAX


def _is_silent(found: Answer | bytes | DeviceError) -> bool:
    return isinstance(found, DeviceError) and is_silence(found)


def _pieces(lengths: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the pieces of a data field that are asked for in one request, so that its length can be told from those there."""
    whole = [(0, length) for length in sorted(lengths)]
    single = [(at, 1) for at in range(min(lengths), BYTES_MAX)]
    return (whole + single)[:SOURCES_MAX]


def _whole(pieces: list[tuple[int, int]], answer: Answer, lengths: tuple[int, ...]) -> bytes | DeviceError:
    """Return the data field if its length is one of those known."""
    raw, start, found = answer.raw, 0, dict[int, bytes]()
    ends = [0]
    for (at, size), flags in zip(pieces, answer.flags, strict=True):
        if not flags & ABSENT:
            ends.append(at + size)
            if at == 0:
                found[size] = raw[start : start + size]
        start += size
    length = max(ends)
    if length in found:
        return found[length]
    held = f"{length}" if length else f"less than {min(lengths)}"
    known = " or ".join(map(str, lengths))
    return DeviceError(f"a data field of {held} bytes where the profile knows {known}", reason="garbage")

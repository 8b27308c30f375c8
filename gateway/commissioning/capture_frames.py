"""The frames of a golden capture of DL/T 645 and CJ/T 188: the answers of a live meter, each identifier asked once.

A raw read brings the bytes of the answer's value (DL/T 645) or its whole data field (CJ/T 188). The driver takes nothing
else for an answer than one start, this address, meter type, control code, identifier, length, sum and end, so the frame
that is put together again here from them is the one of the wire, from 68 to 16; wake-up bytes FE before it are not kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers.identifiers import CjtSettings, CjtSource, DltSettings, DltSource
from drivers.profiles.golden_frames import cjt188_answer, dlt645_answer
from gateway.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from gateway.commissioning.identified_reads import IdentifiedReads
    from gateway.layout import Layout

REBUILT = (
    "frames put together again from the checked answers, as on the wire from 68 to 16, wake-up bytes left off"
)
"""Said in the capture's source."""


async def read_frames(
    reads: IdentifiedReads,
    settings: Hashable,
    layout: Layout,
    sources: Sequence[Hashable],
    left_out: dict[str, str],
) -> tuple[str, ...]:
    """Return the frames of all channels, hexadecimal, and add to `left_out` the channels the meter does not answer.

    What was not answered is asked again once, when no late answer can come any more. Raises Stopped, LinkDown, Busy.
    """
    errors = await _read_all(reads, settings, sources)
    if reads.answered and reads.forget_silence():
        await reads.rest()
        errors = await _read_all(reads, settings, sources)
    left_out |= {layout.channels[i].key: str(error) for i, error in errors.items()}
    frames: dict[str, None] = {}
    for i, source in enumerate(sources):
        if i not in errors:
            frames[await _frame(reads, source, settings)] = None
    return tuple(frames)


async def _read_all(
    reads: IdentifiedReads, settings: Hashable, sources: Sequence[Hashable]
) -> dict[int, DeviceError]:
    """Return the channels that have no value."""
    errors = {}
    for i, source in enumerate(sources):
        assert isinstance(source, DltSource | CjtSource)
        found = await reads.piece(source, settings)
        if isinstance(found, DeviceError):
            errors[i] = found
    return errors


async def _frame(reads: IdentifiedReads, source: Hashable, settings: Hashable) -> str:
    """Return the frame an answer came in; it is known already."""
    if isinstance(source, DltSource):
        assert isinstance(settings, DltSettings)
        value = await reads.value(source.di, source.size, settings)
        assert isinstance(value, bytes)
        return dlt645_answer(reads.address, source.di, value)
    assert isinstance(source, CjtSource)
    assert isinstance(settings, CjtSettings)
    field = await reads.field(source.di, settings)
    assert isinstance(field, bytes)
    return cjt188_answer(settings.meter_type, reads.address, field)

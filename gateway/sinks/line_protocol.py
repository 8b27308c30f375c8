"""InfluxDB line protocol (docs/specs/influx-schema.md): one line of bytes per frame. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

from gateway.escaping import escape
from gateway.model import MS_NS, shared_flag

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.interfaces import Directory
    from gateway.layout import Layout
    from gateway.model import Frame


class _Template(NamedTuple):
    """A line with one `%b` per channel and `%d` for the time; head: measurement and tags.

    flagged: the same with a `%d` for the flags all channels share.
    """

    whole: bytes
    flagged: bytes
    head: bytes
    keys: tuple[bytes, ...]


class Encoder:
    """Frames of one gateway to lines.

    Tags are the gateway's id and what the frame's layout says, never what the site file says today: a meter that
    moved to another link during an outage stays one series, and a repeat is the same line.
    """

    def __init__(self, directory: Directory, measurement: str = "meter") -> None:
        """Raises ValueError if a name cannot be written in line protocol."""
        self._measurement = escape(measurement, ", ")
        self._gateway = escape(directory.gateway)
        self._templates: dict[str, _Template] = {}

    def lines(self, frames: Iterable[Frame]) -> list[bytes | None]:
        """Return one line per frame, without newline; None where there is neither a value nor a flag.

        Values are floats (`1.0`, never `1i`) in the fewest digits that read back as the same float64; an
        absent one has no field. Time in ms since 1970.
        """
        return [self._line(frame) for frame in frames]

    def _line(self, frame: Frame) -> bytes | None:
        layout = frame.layout
        template = self._templates.get(layout.digest) or self._compile(layout)
        digits = orjson.dumps(frame.values.tolist())
        time_ms = frame.time_ns // MS_NS
        # The fast path: no absent value (orjson writes NaN as null), no flag, first epoch.
        if frame.epoch == 0 and b"n" not in digits:
            if frame.flags == layout.no_flags:
                return template.whole % (*digits[1:-1].split(b","), time_ms)
            if shared := shared_flag(frame.flags):
                return template.flagged % (*digits[1:-1].split(b","), shared, time_ms)
        shared = shared_flag(frame.flags)
        fields = [b"flag=%di" % shared] if shared else []
        for key, value, flag in zip(template.keys, digits[1:-1].split(b","), frame.flags, strict=True):
            if value != b"null":
                fields.append(b"%b=%b" % (key, value))
            if flag and not shared:
                fields.append(b"flag_%b=%di" % (key, flag))
        if not fields:
            return None
        epoch = b",epoch=%d" % frame.epoch if frame.epoch else b""
        return b"%b%b %b %d" % (template.head, epoch, b",".join(fields), time_ms)

    def revised(self, frame: Frame, rev: int) -> bytes | None:
        """Return the line that takes the place of one written before, with `rev` and every flag, 0 too; None without a value or flag.

        A database adds the fields of a repeated line to those it has: a flag that is left out would stay.
        """
        if self._line(frame) is None:
            return None
        template = self._templates[frame.layout.digest]
        fields = [b"rev=%di" % rev, b"flag=%di" % shared_flag(frame.flags)]
        digits = orjson.dumps(frame.values.tolist())
        for key, value, flag in zip(template.keys, digits[1:-1].split(b","), frame.flags, strict=True):
            if value != b"null":
                fields.append(b"%b=%b" % (key, value))
            fields.append(b"flag_%b=%di" % (key, flag))
        epoch = b",epoch=%d" % frame.epoch if frame.epoch else b""
        return b"%b%b %b %d" % (template.head, epoch, b",".join(fields), frame.time_ns // MS_NS)

    def _compile(self, layout: Layout) -> _Template:
        kind = layout.energy_kind  # a tag value may not be empty
        head = b"%b,gateway=%b,meter=%b%b" % (
            self._measurement,
            self._gateway,
            escape(layout.meter),
            b",energy_kind=" + escape(kind) if kind else b"",
        )
        keys = tuple(escape(channel.key) for channel in layout.channels)
        literal = [part.replace(b"%", b"%%") for part in (head, *keys)]
        values = b",".join(key + b"=%b" for key in literal[1:])
        whole, flagged = b"%b %b %%d" % (literal[0], values), b"%b %b,flag=%%di %%d" % (literal[0], values)
        template = self._templates[layout.digest] = _Template(whole, flagged, head, keys)
        return template

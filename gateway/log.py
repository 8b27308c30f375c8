"""Structured logs on stderr: `key=value` for people, JSON for collectors, systemd's priorities in front.

Levels by consequence: error = something was lost or an operator is needed; warning = unexpected, nothing lost;
info = a state changed; debug = everything else. A log that cannot be written (full disk, closed pipe) costs its
lines, which are counted, and nothing else.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Literal, Protocol

import structlog

_PRIORITY = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}


class _Stream(Protocol):
    def write(self, line: bytes, /) -> int | None: ...
    def flush(self) -> None: ...


class Writer:
    """Writes lines of bytes; never raises. dropped: lines that could not be written, or not whole.

    Unbuffered where it can: a buffer that cannot be emptied makes the interpreter end with code 120.
    """

    def __init__(self, stream: _Stream | None) -> None:
        """stream: None where the process has no stderr."""
        self.stream = stream
        self._lock = threading.Lock()
        self.dropped = 0

    def write(self, line: str) -> None:
        """Write one line, or count it as dropped."""
        rest = line.encode(errors="backslashreplace") + b"\n"
        with self._lock:
            try:
                while rest:
                    count = None if self.stream is None else self.stream.write(rest)
                    if not count:  # nobody there, or a non-blocking pipe that is full
                        self.dropped += 1
                        return
                    rest = rest[count:]
                if self.stream is not None:
                    self.stream.flush()
            except (OSError, ValueError):  # ValueError: the stream is closed
                self.dropped += 1

    msg = log = debug = info = warning = warn = error = critical = exception = fatal = failure = err = write


class Seldom:
    """How often something that keeps changing is told: `burst` times at once, then once in `every_s`."""

    def __init__(self, now_s: float, *, burst: int = 4, every_s: float = 60.0) -> None:
        """now_s: monotonic."""
        self._burst, self._every_s = burst, every_s
        self._credit, self._then_s = float(burst), now_s

    def may(self, now_s: float) -> bool:
        """Return whether it is told now, and count it if so."""
        self._credit = min(self._burst, self._credit + (now_s - self._then_s) / self._every_s)
        self._then_s = now_s
        if self._credit < 1:
            return False
        self._credit -= 1
        return True


class Turns:
    """The turns of something that may flap: each is told until they come too often, then seldom, with how many were not."""

    def __init__(self, now_s: float, state: str) -> None:
        """state: it has now, which is not told."""
        self._seldom = Seldom(now_s)
        self._state = self._told = state
        self._changes = 0

    @property
    def is_untold(self) -> bool:
        """Return whether what was told last is not how it is."""
        return self._state != self._told

    def turn(self, state: str, now_s: float) -> int | None:
        """Take note of the state; return how many turns were left unsaid if it is to be told now, else None."""
        if state != self._state:
            self._state = state
            self._changes += 1
        if state == self._told or not self._seldom.may(now_s):
            return None
        self._told = state
        unsaid, self._changes = self._changes - 1, 0
        return unsaid


_writer = Writer(None)


def dropped_lines() -> int:
    """Return how many lines of log could not be written since the process started."""
    return _writer.dropped


def configure(level: str = "info", style: Literal["text", "json"] = "text") -> None:
    """Set up logging once for the process. level: debug, info, warning or error."""
    journald = "JOURNAL_STREAM" in os.environ
    text = structlog.processors.LogfmtRenderer(key_order=["event"], drop_missing=True)
    render = structlog.processors.JSONRenderer() if style == "json" else text

    def finish(logger: object, method: str, event: structlog.typing.EventDict) -> str:
        line = str(render(logger, method, event))
        return f"<{_PRIORITY.get(method, 6)}>{line}" if journald else line

    def only_known(
        _logger: object, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        return {key: value for key, value in event.items() if value is not None}

    stamp = [] if journald else [structlog.processors.TimeStamper("iso")]
    buffer = getattr(sys.stderr, "buffer", None)
    _writer.stream = getattr(buffer, "raw", buffer)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            *stamp,
            structlog.processors.format_exc_info,
            only_known,
            finish,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: _writer,
        cache_logger_on_first_use=False,
    )
    for name in ("asyncua", "pymodbus", "amqtt", "asyncio", "mqtt"):
        logging.getLogger(name).setLevel(logging.ERROR)

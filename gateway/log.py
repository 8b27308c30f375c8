"""Structured logs on stderr: `key=value` for people, JSON for collectors, systemd's priorities in front.

Levels by consequence: error = something was lost or an operator is needed; warning = unexpected, nothing lost;
info = a state changed; debug = everything else.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Literal

import structlog

_PRIORITY = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}


def configure(level: str = "info", style: Literal["text", "json"] = "text") -> None:
    """Set up logging once for the process. level: debug, info, warning or error."""
    journald = "JOURNAL_STREAM" in os.environ
    text = structlog.processors.LogfmtRenderer(key_order=["event"], drop_missing=True)
    render = structlog.processors.JSONRenderer() if style == "json" else text

    def finish(logger: object, method: str, event: structlog.typing.EventDict) -> str:
        line = str(render(logger, method, event))
        return f"<{_PRIORITY.get(method, 6)}>{line}" if journald else line

    stamp = [] if journald else [structlog.processors.TimeStamper("iso")]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            *stamp,
            structlog.processors.format_exc_info,
            finish,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    for name in ("asyncua", "pymodbus", "amqtt", "asyncio", "mqtt"):
        logging.getLogger(name).setLevel(logging.ERROR)

"""Names in InfluxDB line protocol. Pure."""

from __future__ import annotations

import re

_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")


def escape(text: str, special: str = ",= ") -> bytes:
    r"""Return a tag value or field key (special: comma, equals, space) or measurement (comma, space) as bytes.

    Raises ValueError for empty text, control characters and backslashes: line protocol has no way to write
    a newline there, and a backslash before a separator or at the end would swallow it.
    Source: InfluxDB line protocol reference, "Special characters"; influxdata/telegraf issue 3004.
    """
    if not text or _UNSAFE.search(text):
        raise ValueError(
            f"{text!r} cannot be written in line protocol: empty, or has a backslash or control character"
        )
    return "".join("\\" + c if c in special else c for c in text).encode()

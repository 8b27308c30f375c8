"""Text that others wrote, made fit for a terminal: what would steer it is shown, never sent."""

from __future__ import annotations

import unicodedata

LINE_ENDS = {"Zl", "Zp"}


def plain(text: str, keep: str = "") -> str:
    """Return text in which control characters, direction marks and unknown characters stand as \\x1b, \\u202e. keep: leave these."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char in keep or not _steers(char) else _escaped(char) for char in text)


def _steers(char: str) -> bool:
    kind = unicodedata.category(char)
    return kind.startswith("C") or kind in LINE_ENDS


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

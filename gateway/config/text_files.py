"""Files of text that users write, as text and as TOML: what is wrong with one is a finding that says what to do."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from gateway.errors import ConfigError, Finding
from gateway.file_reading import read_file
from gateway.findings import shorten

if TYPE_CHECKING:
    from pathlib import Path

FULL_WIDTH = "“”‘’\N{FULLWIDTH QUOTATION MARK}\N{FULLWIDTH APOSTROPHE}「」"


def read_bytes(path: Path, size_max: int, what: str, hint: str) -> bytes:
    """Return a file's content. what: the file in a few words; hint: what to do if it is not there. Raises ConfigError."""
    try:
        return read_file(path, size_max, str(path))
    except FileNotFoundError:
        raise ConfigError([Finding(str(path), "no such file", what, hint)]) from None
    except OSError as error:
        raise ConfigError(
            [Finding(str(path), error.strerror or "a failure", "a file that can be read")]
        ) from None


def decoded(raw: bytes, path: Path) -> str:
    """Return UTF-8 as text, without a byte order mark. Raises ConfigError that names the line."""
    try:
        return raw.decode("utf-8-sig")  # an editor on Windows may have put a byte order mark
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        found = f"a byte that is not UTF-8 in line {line}"
        raise ConfigError(
            [Finding(str(path), found, "UTF-8 text", "save the file as UTF-8, not as GBK")]
        ) from None


def parsed(text: str, path: Path, repeated: tuple[str, ...]) -> dict[str, Any]:
    """Return TOML as a table. repeated: tables that may stand several times, for the hint. Raises ConfigError, RecursionError."""
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and integers of thousands of digits
        raise ConfigError([_syntax(path, str(error), text, repeated)]) from None


def too_deep(path: Path, what: str) -> ConfigError:
    """Return the error of a file that nests without end. what: the format that is wanted."""
    return ConfigError([Finding(str(path), "tables or lists nested beyond all use", f"valid {what}")])


def _syntax(path: Path, message: str, text: str, repeated: tuple[str, ...]) -> Finding:
    tables = ", ".join(f"[[{name}]]" for name in repeated)
    hints = {
        "Invalid value": 'text is written in quotes: key = "value"',
        "Unescaped '\\'": "write a Windows path in single quotes",
        "Cannot overwrite": "the key stands twice; keep one",
        "Cannot declare": f"the table stands twice; tables that may repeat are written {tables}",
    }
    hint = _full_width(message, text) or _bare_number(message, text)
    hint = hint or next((h for s, h in hints.items() if message.startswith(s)), "")
    return Finding(str(path), shorten(message), "valid TOML", hint)


def _bare_number(message: str, text: str) -> str:
    """Return what to do about a meter's number without quotes, "" if it is none: no TOML number begins with 0."""
    place = re.search(r"line (\d+), column", message)
    line = text.split("\n")[int(place[1]) - 1] if place else ""
    number = re.match(r"\s*address\s*=\s*([0-9]+)\s*(#.*)?$", line, re.ASCII)
    return f'a meter\'s number is text: address = "{number[1]}"' if number else ""


def _full_width(message: str, text: str) -> str:
    """Return what to do about a quote of a Chinese keyboard where TOML wants its own, "" if there is none."""
    place = re.search(r"line (\d+), column (\d+)", message)
    lines = text.split("\n")
    line, column = (lines[int(place[1]) - 1], int(place[2])) if place else (lines[-1], len(lines[-1]) + 1)
    unclosed = message.startswith(("Illegal character", "Unterminated"))  # told at the end of the line
    wrong = any(quote in (line if unclosed else line[column - 1 : column]) for quote in FULL_WIDTH)
    return '“ ” are full-width quotes 中文引号: use "' if wrong else ""

"""The dated record of a commissioning: one TOML file in the state folder, never overwritten."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import orjson

from gateway.errors import StorageError
from gateway.state_folder import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from gateway.commissioning.judgements import Step

FOLDER = "commissioning"


def record(head: Mapping[str, str | int | float | bool], steps: Iterable[Step]) -> str:
    """Return the record as TOML."""
    lines = [f"{key} = {_value(value)}" for key, value in head.items()]
    for step in steps:
        lines += ["", "[[steps]]", f"name = {_value(step.name)}", f"result = {_value(step.result)}"]
        lines.append(f"text = {_value(step.text)}")
        if step.detail:
            lines.append("[steps.detail]")
            lines += [f"{_value(key)} = {_value(value)}" for key, value in step.detail.items()]
    return "\n".join(lines) + "\n"


def _value(value: str | int | float | bool) -> str:
    """Return a value as TOML writes it; a JSON string is a TOML basic string but for DEL, which TOML wants escaped."""
    return orjson.dumps(value).decode().replace("\x7f", "\\u007F")


def write(state_dir: Path, meter: str, at: datetime, body: str) -> Path:
    """Write a record under the meter's id and the minute and return its file. Raises StorageError."""
    folder = state_dir / FOLDER
    stem = f"{meter}-{at:%Y%m%dT%H%M}"
    try:
        owner = state_dir.stat()
        if not folder.is_dir():
            folder.mkdir(mode=0o700)
            _give(folder, owner)
        path, n = folder / f"{stem}.toml", 1
        while path.exists():
            n += 1
            path = folder / f"{stem}-{n}.toml"
        replace_file(path, body.encode())
        _give(path, owner)
    except OSError as error:
        raise StorageError(
            f"the record cannot be written into {folder}: {error.strerror or error}"
        ) from error
    return path


def _give(path: Path, owner: os.stat_result) -> None:
    """Give a file that root wrote to the gateway's user, who keeps the folder."""
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.chown(path, owner.st_uid, owner.st_gid)

"""Files that users name: read whole, but only if they are plain files of a believable size."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from gateway.errors import ConfigError, Finding

if TYPE_CHECKING:
    from pathlib import Path

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def read_file(path: Path, size_max: int, where: str) -> bytes:
    """Return a file's content; never waits, and never reads more than `size_max` bytes and one.

    where: how a finding names the file. Raises OSError, or ConfigError if it is too large or no plain file
    (a pipe would be waited for, a device such as /dev/zero has no end).
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            found = _KINDS.get(stat.S_IFMT(mode), "something else")
            raise ConfigError([Finding(where, found, "a file that can be read")])
        content = file.read(size_max + 1)
    if len(content) > size_max:
        raise ConfigError([Finding(where, "a larger file", f"at most {size_max} bytes")])
    return content

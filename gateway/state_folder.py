"""The folder a gateway keeps its state in: held by one process at a time, its small files replaced as a whole."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from gateway.errors import ConfigError, Finding, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def state_lock(folder: Path) -> Iterator[None]:
    """Hold the state folder for this process.

    Raises ConfigError if the folder cannot be one, StorageError if another gateway holds it or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
            raise StorageError(
                f"{folder}: {error.strerror}; make room or mend the disk, then start again"
            ) from error
        hint = "create it for the gateway's user, or set gateway.state_dir to a folder it may write"
        finding = Finding("gateway.state_dir", f"{folder}: {error.strerror}", "a writable folder", hint)
        raise ConfigError([finding]) from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
            hint = f"stop the other gateway (pid {pid}) or give this one another gateway.state_dir"
            raise StorageError(f"gateway.state_dir {folder} is in use; {hint}") from error
        with suppress(OSError):  # the number is a courtesy to people; a full disk may refuse it
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def replace_file(path: Path, body: bytes) -> None:
    """Put `body` into a file so that after a power cut it holds the old or the new, whole. Raises OSError."""
    new = path.with_name(path.name + ".new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

"""Secrets: read from a systemd credential or a file when they are needed, never kept, shown or logged."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gateway.errors import ConfigError, Finding

SECRET_BYTES_MAX = 64 * 1024


def credential_file(name: str) -> Path | None:
    """Return the file of a systemd credential; None if this process was given no credentials at all.

    Source: systemd.exec(5), $CREDENTIALS_DIRECTORY.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return Path(folder) / name if folder else None


def read_secret(file: Path | None, credential: str) -> str | None:
    """Return the secret without the line end an editor leaves behind it; None if none is configured.

    Raises ConfigError if it is named but cannot be read, is empty, or is no text.
    """
    if credential:
        path = credential_file(credential)
        if path is None:
            hint = f"start it with systemd and LoadCredential={credential}:FILE, or use a *_file key"
            raise _refused(credential, "no credentials given to this process", "a systemd credential", hint)
        return _read(path)
    return None if file is None else _read(file)


def readable_by_all(path: Path) -> bool:
    """Return whether any user of the system may read the file; a warning, since container secrets often are."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(SECRET_BYTES_MAX + 1)
    except OSError as error:
        hint = "create it, or let the gateway's user read it"
        raise _refused(str(path), error.strerror or "a failure", "a file that can be read", hint) from None
    try:
        secret = raw.decode()
    except UnicodeDecodeError:
        raise _refused(str(path), "bytes that are not UTF-8", "the secret as text") from None
    secret = secret.removesuffix("\n").removesuffix("\r")
    if not secret or len(raw) > SECRET_BYTES_MAX or "\n" in secret or "\0" in secret:
        raise _refused(str(path), "not one line of text", "the secret alone, on one line")
    return secret


def _refused(path: str, found: str, expected: str, hint: str = "") -> ConfigError:
    return ConfigError([Finding(path, found, expected, hint)])

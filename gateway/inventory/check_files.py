"""Certificate files an inventory names: are they there, and are they the ones it means?"""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from gateway.config.files import file_findings
from gateway.errors import ConfigError, Finding
from gateway.file_reading import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gateway.config.draft import Entry
    from gateway.inventory.model import Instrument

SIZE_MAX_BYTES = 64 << 20
"""Largest file of a certificate: a scan of many pages."""


def check_files(instruments: Sequence[Entry[Instrument]], base: Path) -> Iterator[Finding]:
    """Yield a finding for each certificate file that is not in the folder `base`, or not the one that is meant."""
    for entry in instruments:
        if entry.value is None:
            continue
        for i, one in enumerate(entry.value.verifications, 1):
            if one.file:
                yield from _file(f"{entry.path}.verifications[{i}]", base, one.file, one.sha256)


def _file(path: str, base: Path, name: str, sha256: str) -> Iterator[Finding]:
    if not is_inside(name):
        return  # told by the checks that look at no disk
    expected = "the file of the certificate"
    missing = list(file_findings(f"{path}.file", base / name, expected))
    yield from missing
    if missing or not sha256:
        return
    try:
        found = hashlib.sha256(read_file(base / name, SIZE_MAX_BYTES, f"{path}.file")).hexdigest()
    except ConfigError as error:
        yield from error.findings
        return
    except OSError as error:
        yield Finding(f"{path}.file", f"{base / name}: {error.strerror}", "a file that can be read")
        return
    if found != sha256:
        hint = f'it was changed or is another one; if it is right: sha256 = "{found}"'
        yield Finding(
            f"{path}.sha256", f"{sha256[:8]}…, but {name} has {found[:8]}…", "the SHA-256 of that file", hint
        )


def is_inside(name: str) -> bool:
    """Return whether a file's name stays within the inventory's folder: relative, never upwards."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return (
        "\0" not in name and ".." not in parts and not (parts and (parts[0] == "/" or parts[0].endswith(":")))
    )

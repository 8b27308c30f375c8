"""Files a site file names: are they there?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def file_findings(path: str, file: Path | None, expected: str) -> Iterator[Finding]:
    """Yield a finding if a file that is named is not there."""
    if file is None:
        return
    try:
        there, other = file.is_file(), file.exists()
    except OSError as error:  # a folder on the way that may not be entered, a name too long
        yield Finding(path, f"{file}: {error.strerror}", expected, "let the gateway's user read it")
        return
    if not there:
        found = f"{file}, which is not a file" if other else f"no file {file}"
        yield Finding(path, found, expected, "create it, or correct the path")

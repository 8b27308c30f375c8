"""The operating errors of the gateway, in one tree; anything else that is raised is a bug.

MetergateError
├── ConfigError        start refused (exit 78), carries every finding
├── DeviceError        one meter, one poll: flag, count, go on
├── LinkDown           the connection is gone: close, back off, reopen
├── SinkUnavailable    retry the whole batch later
└── StorageError       the journal cannot be written or read
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model import Sample

EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h; systemd does not restart on it


class MetergateError(Exception):
    """Root of every error the gateway expects to meet in operation."""


class Finding:
    """One problem found in a configuration: where, what was found, what was expected, what next."""

    __slots__ = ("expected", "found", "path", "suggestion")

    def __init__(self, path: str, found: str, expected: str, suggestion: str = "") -> None:
        """path: key path as the user wrote it, such as `meters[3].profile`."""
        self.path = path
        self.found = found
        self.expected = expected
        self.suggestion = suggestion

    def __str__(self) -> str:
        """Return the finding as one line of text."""
        hint = f" ({self.suggestion})" if self.suggestion else ""
        return f"{self.path}: found {self.found}, expected {self.expected}{hint}"

    def __repr__(self) -> str:
        """Return the finding for test reports."""
        return f"Finding({self})"


class ConfigError(MetergateError):
    """The configuration cannot be used; `findings` lists every problem, not only the first."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        """findings: at least one."""
        super().__init__("; ".join(map(str, findings)))
        self.findings = tuple(findings)


class DeviceError(MetergateError):
    """One meter did not answer one poll as it should; the link itself is fine.

    raw: the bytes received, if any; they are logged with the error.
    reason: one of `timeout`, `exception`, `garbage`, `refused`, for counting.
    code: the number of the meter's refusal (Modbus exception, OPC UA StatusCode), None where it gave none.
    """

    def __init__(self, message: str, *, reason: str, raw: bytes = b"", code: int | None = None) -> None:
        """message: names what was asked and what came back."""
        super().__init__(message)
        self.reason = reason
        self.raw = raw
        self.code = code


class LinkDown(MetergateError):
    """The connection cannot be opened or was lost. samples: what the poll that met it had brought before, to be kept.

    reason: for the event that tells it.
    """

    reason = "connection"

    def __init__(self, message: str, *, samples: Sequence[Sample] = ()) -> None:
        """message: names the link, what happened and what to do."""
        super().__init__(message)
        self.samples = tuple(samples)


class SinkUnavailable(MetergateError):
    """The destination took nothing for certain: keep the position and try the same batch again.

    retry_after_s: what the destination asked for, None if it said nothing.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        """message: names the destination, what it answered and what to do."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StorageError(MetergateError):
    """The journal on disk cannot be written or read (disk full, damaged, not permitted)."""

"""Why one request to a meter brought nothing; what every protocol's reader catches. Pure."""

from __future__ import annotations

from gateway.errors import MetergateError


class RequestFailed(MetergateError):
    """One request brought no values; `raw` is what came instead, if anything did."""

    def __init__(self, message: str, *, raw: bytes = b"") -> None:
        """message: what happened, for engineers."""
        super().__init__(message)
        self.raw = raw


class NoAnswer(RequestFailed):
    """The time for an answer is up. discarded: frames that came instead and belong to no request."""

    def __init__(self, message: str, *, discarded: int, raw: bytes = b"") -> None:
        """discarded: late answers to earlier requests do not count. raw: the bytes that came, if they are no frame."""
        super().__init__(message, raw=raw)
        self.discarded = discarded

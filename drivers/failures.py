"""Why one request to a meter brought nothing; what every protocol's reader catches. Pure."""

from __future__ import annotations

from typing import Literal

from gateway.errors import MetergateError

Failure = Literal["garbage", "exception", "timeout"]


class RequestFailed(MetergateError):
    """One request brought no values; `raw` is what came instead, if anything did.

    failure: its name for counting, as `DeviceError.reason` has it: `garbage`, `exception` or `timeout`.
    """

    failure: Failure = "garbage"

    def __init__(self, message: str, *, raw: bytes = b"") -> None:
        """message: what happened, for engineers."""
        super().__init__(message)
        self.raw = raw


class Refused(RequestFailed):
    """The meter, or a gateway before it, answered that it will not give this."""

    failure: Failure = "exception"


class NoAnswer(RequestFailed):
    """The time for an answer is up. discarded: frames that came instead and belong to no request."""

    def __init__(self, message: str, *, discarded: int, raw: bytes = b"") -> None:
        """discarded: late answers to earlier requests do not count. raw: the bytes that came, if they are no frame."""
        super().__init__(message, raw=raw)
        self.discarded = discarded
        self.failure = "garbage" if discarded else "timeout"


class InDoubt(NoAnswer):
    """The request was not sent: the late answer to an earlier one may still come and would be taken for its own."""

    def __init__(self, rest_s: float) -> None:
        """rest_s: for how long at most."""
        super().__init__(
            f"not asked: the late answer to an earlier request may come for another {rest_s:.1f} s and would look the same",
            discarded=0,
        )
        self.rest_s = rest_s

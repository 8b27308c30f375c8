"""Why one request to a meter brought nothing; what every protocol's reader catches. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gateway.errors import MetergateError

if TYPE_CHECKING:
    from collections.abc import Callable

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


RECENT_S = 600.0
"""For so long frames of strangers count as a sign of a second master."""


class LineSteps:
    """What to do about meters of a line that do not answer, in words; a second master is named where it was heard."""

    def __init__(
        self, look_at: str, *, is_server: bool = False, strangers: Callable[[], int] = lambda: 0
    ) -> None:
        """look_at: what to check of the meter. is_server: a device server is between; strangers: returns how many frames came that nobody here asked for."""
        self._look_at, self._is_server, self._strangers = look_at, is_server, strangers
        self._count = 0
        self._heard_s = float("-inf")

    def second_master(self, now_s: float) -> str:
        """Return the step where frames of strangers came lately, "" where none did. now_s: monotonic."""
        count = self._strangers()
        if count > self._count:
            self._count, self._heard_s = count, now_s
        if now_s - self._heard_s > RECENT_S:
            return ""
        where = ", or another connection to the device server" if self._is_server else ""
        return f"frames came that nobody here asked for: look for a second master (another gateway, SCADA, a display{where})"

    def silence(self, now_s: float) -> str:
        """Return the step where nothing, or nothing in time, came from a meter. now_s: monotonic."""
        other = self.second_master(now_s)
        if self._is_server:
            alone = "" if other else ", that nobody else uses it (one master only)"
            check = (
                f"check {self._look_at}, baud rate and parity of the device server{alone}, or raise timeout"
            )
        else:
            check = f"check {self._look_at}, baud rate and parity of the line, or raise timeout"
        return f"{other}; else {check}" if other else check

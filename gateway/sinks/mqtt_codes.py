"""MQTT reason codes in words. Source: MQTT 5.0, 2.4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.sinks.tls import reason

if TYPE_CHECKING:
    import aiomqtt
    from paho.mqtt.reasoncodes import ReasonCode

FAILURE = 0x80  # codes from here on are failures
TAKEN_OVER = 0x8E
CLOSED = "closed by the broker"
CLOSED_SILENTLY = "closed without a word"
_BAD_LOGIN = (0x86, 0x87)


def connect_refused(error: aiomqtt.MqttCodeError) -> str:
    """Return why the broker did not let us in."""
    code = value(error.rc)
    told = f"reason 0x{code:02x} {error.rc}"
    if code in _BAD_LOGIN:
        return (
            f"the broker refused the user name or password ({told}); check the sink's user and password file"
        )
    return f"the broker refused the connection ({told})"


def plain(error: BaseException) -> str:
    """Return an error in words; paho says 0x80 where the connection just ended."""
    return CLOSED_SILENTLY if value(getattr(error, "rc", None)) == FAILURE else reason(error)


def value(code: ReasonCode | int | None) -> int:
    """Return a reason code's number."""
    return code if isinstance(code, int) else getattr(code, "value", FAILURE)

"""The broker one subscribes to: where, as whom, and what it keeps of us."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from gateway.errors import MetergateError
from gateway.sinks.tls import TlsFiles, acl_name

CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SESSION_MAX_S = 0xFFFF_FFFE  # MQTT 5, 3.1.2.11.2; one more means for ever
RECEIVE_MAX = 500  # messages under way at once
_PORTS = {"mqtt": 1883, "mqtts": 8883}


class BrokerAway(MetergateError):
    """The broker cannot be reached, does not let us in, or ended the connection.

    hopeless: asking again will not help: it denies the subscription, or cannot keep what was asked for.
    """

    def __init__(self, message: str, *, hopeless: bool = False) -> None:
        """message: names the broker, what it said and what to do."""
        super().__init__(message)
        self.hopeless = hopeless


@dataclass(frozen=True, slots=True)
class Broker:
    """Where to subscribe, and as whom. tls: None: not encrypted."""

    host: str
    port: int
    user: str = ""
    password: str | None = None
    tls: TlsFiles | None = None

    @property
    def who(self) -> str:
        """Return whom the broker's ACL has to name."""
        return acl_name(self.user, self.tls)

    @property
    def name(self) -> str:
        """Return it in words."""
        return f"broker {self.host}:{self.port}"

    @classmethod
    def of(
        cls, url: str, *, user: str = "", password: str | None = None, tls: TlsFiles | None = None
    ) -> Self:
        """Return the broker of mqtt://HOST[:PORT] or mqtts://HOST[:PORT]. Raises BrokerAway that says what is wrong with it."""
        expected = "expected mqtt://HOST[:PORT] or mqtts://HOST[:PORT]"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise BrokerAway(f"{expected}: {error}", hopeless=True) from None
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
            raise BrokerAway(f'"{url}" is no broker: {expected}', hopeless=True)
        if "@" in parts.netloc:
            raise BrokerAway(
                f"{expected}, without user and password: use --user and --password-file", hopeless=True
            )
        if parts.scheme == "mqtt" and tls is not None:
            raise BrokerAway("certificates are for mqtts://, and this is mqtt://", hopeless=True)
        secured = (tls or TlsFiles()) if parts.scheme == "mqtts" else None
        return cls(parts.hostname, port or _PORTS[parts.scheme], user, password, secured)


@dataclass(frozen=True, slots=True)
class Session:
    """What the broker keeps while we are away. Without a client id: nothing, and it gives us a name.

    is_last: nothing new is subscribed to; only what it kept is taken.
    """

    client_id: str = ""
    expiry_s: int = 0
    receive_max: int = RECEIVE_MAX
    is_last: bool = False

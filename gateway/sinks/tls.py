"""TLS for a sink: verification always on, own CA and client certificate where the site has them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import SinkUnavailable

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. ca: who signs the server, None for the system's authorities. cert, key: who we are, or None."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return a context that verifies the server's chain and name. Raises SinkUnavailable, naming the file."""
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:  # ssl.SSLError is one
            raise SinkUnavailable(
                f"CA file {self.ca}: {reason(error)}; check the sink's tls.ca_file"
            ) from error
        context.sslsocket_class = _Socket
        if self.cert is not None:
            try:
                context.load_cert_chain(self.cert, self.key)
            except OSError as error:
                raise SinkUnavailable(
                    f"client certificate {self.cert} with key {self.key}: {reason(error)}; "
                    "check the sink's tls.cert_file and tls.key_file"
                ) from error
        return context


class _Socket(ssl.SSLSocket):
    """A socket that is closed when the handshake fails; paho would leave it to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands. Raises OSError."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def reason(error: BaseException) -> str:
    """Return an error's own words, or its name where it has none (a timeout)."""
    return str(error) or type(error).__name__


def hide(text: str, secret: str | None) -> str:
    """Return `text` with an ellipsis wherever `secret` stands."""
    return text.replace(secret, "…") if secret else text

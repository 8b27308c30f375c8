"""Where an OPC UA value lives: the server's URL and the node id, checked without loading asyncua.

Source: OPC UA Part 6, 5.3.1.10 (node ids as text), Part 3, 8.2 (kinds of identifier, 4 096 characters).
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from typing import NamedTuple
from urllib.parse import urlsplit

PORT = 4840  # Source: IANA service name "opcua-tcp"
_ID = re.compile(r"(?:ns=(?P<namespace>\d{1,5});)?(?P<kind>[isgb])=(?P<rest>.+)", re.DOTALL)
_NAMESPACE_MAX = 0xFFFF
_NUMERIC_MAX = 0xFFFF_FFFF
_LENGTH_MAX = 4096
_EXAMPLES = "such as ns=2;s=Boiler1.Flow or ns=3;i=1001"


class NodeAddress(NamedTuple):
    """A node id taken apart: index in the server's namespace table, and the identifier in its own type."""

    namespace: int
    identifier: int | str | uuid.UUID | bytes


def parse_id(text: str) -> NodeAddress:
    """Return the node id a configuration names: `ns=2;s=Boiler1.Flow`, `ns=3;i=1001`, `ns=1;g=…`, `i=2258`.

    Everything after `s=` belongs to the identifier, semicolons included. Raises ValueError saying what is wrong.
    """
    match = _ID.fullmatch(text)
    if match is None:
        if text.startswith(("nsu=", "svr=")):
            raise ValueError(f"node id {text!r} names its namespace by URI; give the index, {_EXAMPLES}")
        raise ValueError(f"{text!r} is no OPC UA node id, {_EXAMPLES}")
    namespace = int(match["namespace"] or 0)
    if namespace > _NAMESPACE_MAX:
        raise ValueError(f"node id {text!r}: namespace index is at most {_NAMESPACE_MAX}")
    return NodeAddress(namespace, _identifier(match["kind"], match["rest"], text))


def _identifier(kind: str, rest: str, text: str) -> int | str | uuid.UUID | bytes:
    """Return the identifier in its own type. Raises ValueError."""
    if kind == "s":
        if len(rest) > _LENGTH_MAX:
            raise ValueError(f"node id {text[:40]!r}…: a name has at most {_LENGTH_MAX} characters")
        return rest
    if kind == "i":
        if not re.fullmatch(r"[0-9]{1,10}", rest) or int(rest) > _NUMERIC_MAX:
            raise ValueError(f"node id {text!r}: after i= comes a number of 0 to {_NUMERIC_MAX}")
        return int(rest)
    if kind == "g":
        try:
            return uuid.UUID(rest)
        except ValueError:
            raise ValueError(
                f"node id {text!r}: after g= comes a GUID, 8-4-4-4-12 hexadecimal digits"
            ) from None
    try:
        return base64.b64decode(rest, validate=True)
    except binascii.Error:
        raise ValueError(f"node id {text!r}: after b= come base64 bytes") from None


def parse_url(text: str) -> str:
    """Return the server's URL with its port written out (4840 if it has none).

    Raises ValueError: not opc.tcp, no host, a port out of range, or a password inside.
    """
    parts = urlsplit(text)
    if "@" in parts.netloc:
        raise ValueError("an OPC UA url carries no user or password: use user and password_file of the link")
    if parts.scheme != "opc.tcp" or not parts.hostname:
        raise ValueError(f"{text!r} is no OPC UA url, such as opc.tcp://192.168.1.20:{PORT}")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"OPC UA url {text!r}: the port is a number of 1 to 65535") from None
    if port is not None:
        return text
    return parts._replace(netloc=f"{parts.netloc.rstrip(':')}:{PORT}").geturl()

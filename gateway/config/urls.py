"""URLs of the site file: of one scheme, without user, password and query."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from gateway.config.values import HOST, unusable

_INFLUX_REQUEST = re.compile(r"/(api/v[23](/.*)?|write|query|ping|health)/?$")
_SCHEMES_MEANT = {
    "opc.tcp": frozenset({"", "http", "https", "tcp", "opc", "opc.http", "opc.https", "opc-tcp"}),
    "http": frozenset({""}),
}
"""What people write where a scheme belongs; "": nothing."""


def url_of(*schemes: str, example: str, endpoint: re.Pattern[str] | None = None) -> AfterValidator:
    """Return the rule that text is a URL of one of these schemes: host, no user or password, no query.

    endpoint: the end of a path that belongs to one request, not to the base address.
    """
    expected = f"a URL such as {example}"

    def check(value: str) -> str:
        try:
            parts = urlsplit(value)
            port = parts.port
        except ValueError:  # a port beyond 65535, half an IPv6 address
            raise unusable(expected) from None
        if "@" in parts.netloc:
            raise unusable(
                f"{expected}, without user and password", hint="name a file or credential beside it"
            )
        if parts.scheme not in schemes or not HOST.fullmatch(parts.hostname or "") or port == 0:
            raise unusable(expected, _with_scheme(value, schemes[0]))
        request = endpoint.search(parts.path) if endpoint is not None else None
        if request is not None:
            base = f"{parts.scheme}://{parts.netloc}{parts.path[: request.start()]}"
            raise unusable(f"only the base address, such as {example}", f'"{base}"')
        if parts.query or parts.fragment:
            raise unusable(f"{expected}, without ? and #")
        return value

    return AfterValidator(check)


def _with_scheme(value: str, scheme: str) -> str:
    """Return a URL with the scheme it should have, as it is written in the file; "" if it is none even then."""
    given, rest = value.split("://", 1) if "://" in value else ("", value)
    if given.lower() not in _SCHEMES_MEANT[scheme]:
        return ""
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        usable = HOST.fullmatch(parts.hostname or "") and parts.port != 0
    except ValueError:
        return ""
    return f'"{scheme}://{rest}"' if usable and not set("@?# ") & set(rest) else ""


def is_this_machine(host: str) -> bool:
    """Return whether a host name or address is this machine's own: what is sent there crosses no network.

    Source: RFC 6761 section 6.3 (localhost and names under it), RFC 5735 and RFC 4291 (loopback addresses).
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (inner or address).is_loopback


OpcuaUrl = Annotated[str, url_of("opc.tcp", example="opc.tcp://127.0.0.1:4840")]
HttpUrl = Annotated[str, url_of("http", "https", example="http://127.0.0.1:8086", endpoint=_INFLUX_REQUEST)]

"""What can go wrong with an OPC UA server, in words that say what to do next."""

from __future__ import annotations

import socket
import struct

from asyncua.ua.status_codes import StatusCodes as Code
from asyncua.ua.status_codes import get_name_and_doc
from asyncua.ua.uaerrors._base import UaError, UaStatusCodeError

GARBLED = (
    UaError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    RecursionError,
    struct.error,
)
"""What asyncua raises on an answer it cannot make sense of, found by feeding it damaged ones."""

FAILURES = (OSError, *GARBLED)  # TimeoutError is an OSError

TOO_LARGE = {
    Code.BadTooManyOperations,
    Code.BadRequestTooLarge,
    Code.BadResponseTooLarge,
    Code.BadEncodingLimitsExceeded,
}
"""Answers to a Read that asked for too much at once."""

REFUSED = {
    Code.BadNodeIdUnknown,
    Code.BadNodeIdInvalid,
    Code.BadNodeIdRejected,
    Code.BadAttributeIdInvalid,
    Code.BadNotReadable,
    Code.BadUserAccessDenied,
}
"""StatusCodes of a value that come from the configuration or its rights, not from the process."""

_GONE = {
    Code.BadSessionIdInvalid,
    Code.BadSessionClosed,
    Code.BadSessionNotActivated,
    Code.BadSecureChannelIdInvalid,
    Code.BadSecureChannelClosed,
    Code.BadSecureChannelTokenUnknown,
    Code.BadConnectionClosed,
    Code.BadServerNotConnected,
    Code.BadServerHalted,
    Code.BadShutdown,
    Code.BadCommunicationError,
    Code.BadSecurityChecksFailed,
}

_NEXT = {
    Code.BadUserAccessDenied: "the server refused user and password: check user and password_file of the link",
    Code.BadIdentityTokenRejected: "the server refused this way to log in: give user and password_file, or allow anonymous",
    Code.BadIdentityTokenInvalid: "the server refused this way to log in: check user and password_file of the link",
    Code.BadTooManySessions: "the server has no session left: close unused clients or raise its session limit",
    Code.BadTcpNotEnoughResources: "the server has no connection left: close unused clients or raise its limit",
    Code.BadTcpEndpointUrlInvalid: "the server does not know this url: take the path from its endpoint list",
    Code.BadCertificateUntrusted: "the server does not trust the gateway's certificate: accept it in the server (`metergate opcua trust list`)",
    Code.BadSecurityPolicyRejected: "the server refused this security: set security and security_mode of the link to what it offers",
    Code.BadSecurityModeRejected: "the server refused this security: set security and security_mode of the link to what it offers",
}

STOPPED = "the server stopped or restarted, or the network broke"
AGAIN = "it is tried again by itself"
_NOT_A_STOP = {Code.BadSecurityChecksFailed, *_NEXT}


def status_name(code: int) -> str:
    """Return the name of a StatusCode as people know it, such as BadNodeIdUnknown."""
    name, _ = get_name_and_doc(code)
    return str(name)


def is_gone(error: UaStatusCodeError) -> bool:
    """Return whether an answer means that session or channel are lost, so that only a new one helps."""
    return error.code in _GONE or status_name(error.code).startswith("BadTcp")


def _of_a_stop(error: BaseException) -> str:
    """Return what an error means on a link that has worked, "" where that says no more."""
    if isinstance(error, ConnectionRefusedError):
        return f"connection refused: the server that answered here before is stopped, or starts just now; {AGAIN}"
    if isinstance(error, ConnectionError):
        return f"{STOPPED} ({str(error) or 'connection closed'}); {AGAIN}"
    if isinstance(error, UaStatusCodeError) and error.code in _GONE - _NOT_A_STOP:
        return f"{STOPPED} ({status_name(error.code)}); {AGAIN}"
    return ""


def explain(error: BaseException, timeout_s: float, *, has_worked: bool = False) -> str:
    """Return what happened while connecting or talking, and what to do next, without address or link.

    has_worked: this link has had a session, so its url and port are right.
    """
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s: is the OPC UA server running, is a firewall between?"
    if has_worked and (found := _of_a_stop(error)):
        return found
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: is the OPC UA server running, is the port right?"
    if isinstance(error, socket.gaierror):
        return f"host name not found ({error.strerror}): check the link's url, or give an address"
    if isinstance(error, ConnectionError):
        return f"connection closed by the other side ({error}): is this the port of an OPC UA server?"
    if isinstance(error, OSError):
        return f"cannot connect ({error.strerror or error}): check url, cable and network"
    if isinstance(error, UaStatusCodeError):
        name = status_name(error.code)
        return f"{_NEXT.get(error.code, 'the server refused; see its log')} ({name})"
    if isinstance(error, UaError) and "No matching endpoints" in str(error):
        return "the server offers no unencrypted endpoint: set security of the link, such as basic256sha256"
    return f"an answer that makes no sense ({type(error).__name__}: {error}): is this an OPC UA server?"

"""Signed messages: compact JWS over Ed25519, made and read as RFC 7515 has it, byte for byte.

Three base64url texts joined by dots. Only what was received is verified; nothing is serialised anew. Algorithms stand in a
table by `alg`; one that is not in it is refused. Source: RFC 7515 §3.1, §5; RFC 8037 §3.1; RFC 9864 §2.2 (alg "Ed25519").
"""

from __future__ import annotations

import binascii
import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import orjson

from gateway.errors import MetergateError
from gateway.feed.contract import TYP

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MESSAGE_BYTES_MAX = 256 * 1024  # docs/specs/feed.md
PARTS = 3
DEPTH_MAX = 32  # of JSON; the contract has less than ten levels
HEADER_BYTES_MAX = 1024
ID_MAX = 200  # characters of a kid
ED25519 = "Ed25519"
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_+/=", b"+/!!!")  # what base64url does not have becomes what base64 refuses


class Malformed(MetergateError):
    """What came is no message of the feed; says why."""


class UnknownAlgorithm(Malformed):
    """It is signed in a way this program does not know."""


class Header(NamedTuple):
    """Protected header of a message."""

    alg: str
    kid: str


class Parsed(NamedTuple):
    """A message taken apart, nothing proved yet. signing_input: what the signature was made over."""

    header: Header
    payload: bytes
    signing_input: bytes
    signature: bytes


def encode(raw: bytes) -> bytes:
    """Return base64url without padding."""
    return binascii.b2a_base64(raw, newline=False).translate(_TO_URL).rstrip(b"=")


def decode(text: bytes) -> bytes:
    """Return what base64url text stands for; there is exactly one text for it. Raises Malformed."""
    padded = text.translate(_FROM_URL) + b"=" * (-len(text) % 4)
    try:
        raw = binascii.a2b_base64(padded, strict_mode=True)
    except binascii.Error as error:
        raise Malformed("is not base64url") from error
    if text and encode(raw[-(len(raw) % 3 or 3) :]) != text[-((len(text) % 4) or 4) :]:
        raise Malformed("is base64url with bits that mean nothing")
    return raw


def sign(key: Ed25519PrivateKey, kid: str, payload: bytes, typ: str = TYP) -> bytes:
    """Return the message, ASCII. typ: what it is; another than the feed's is no message of the feed."""
    signing_input = _header(kid, typ) + b"." + encode(payload)
    return signing_input + b"." + encode(key.sign(signing_input))


@lru_cache(16)
def _header(kid: str, typ: str) -> bytes:
    return encode(orjson.dumps({"alg": ED25519, "kid": kid, "typ": typ}))


def parse(jws: bytes, typ: str = TYP) -> Parsed:
    """Return a message taken apart. typ: what it must be. Raises Malformed, UnknownAlgorithm."""
    if len(jws) > MESSAGE_BYTES_MAX:
        raise Malformed(f"has {len(jws)} bytes, more than {MESSAGE_BYTES_MAX}")
    parts = jws.split(b".")
    if len(parts) != PARTS:
        raise Malformed(f"has {len(parts)} parts instead of {PARTS}")
    header = _read_header(parts[0], typ)
    payload = _part(parts[1], "payload")
    return Parsed(header, payload, jws[: len(parts[0]) + 1 + len(parts[1])], _part(parts[2], "signature"))


def brief(value: object) -> str:
    """Return a foreign value as a few characters for people; lists and objects, which may be nested at will, by name alone."""
    if isinstance(value, str):
        return ascii(value[:40]) if not value[:40].isprintable() else f"'{value[:40]}'"
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    return "nothing" if value is None else str(value)


def _part(text: bytes, name: str) -> bytes:
    try:
        return decode(text)
    except Malformed as error:
        raise Malformed(f"the {name} {error}") from error


@lru_cache(256)
def _read_header(text: bytes, expected: str) -> Header:
    """Return a header; the same few come over and over. Raises Malformed, UnknownAlgorithm."""
    if len(text) > HEADER_BYTES_MAX:
        raise Malformed(f"the header has more than {HEADER_BYTES_MAX} bytes")
    try:
        header = orjson.loads(_part(text, "header"))
    except orjson.JSONDecodeError as error:
        raise Malformed("the header is no JSON") from error
    if not isinstance(header, dict):
        raise Malformed("the header is no JSON object")
    alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        known = ", ".join(ALGORITHMS)
        raise UnknownAlgorithm(f"is signed with alg {brief(alg)}; this program knows {known}")
    if "crit" in header:  # RFC 7515 §4.1.11: who does not understand it refuses
        raise Malformed("the header asks for extensions (crit)")
    if typ != expected:
        raise Malformed(f"typ is {brief(typ)} instead of {expected!r}")
    if not isinstance(kid, str) or not kid:
        raise Malformed("the header names no key (kid)")
    if len(kid) > ID_MAX or not kid.isprintable():
        raise Malformed("the kid is no name: too long, or with characters that cannot be shown")
    return Header(alg, kid)


def verify(parsed: Parsed, public: Ed25519PublicKey) -> bool:
    """Return whether the signature is that key's over what was received."""
    return ALGORITHMS[parsed.header.alg](public, parsed.signature, parsed.signing_input)


def _ed25519(public: Ed25519PublicKey, signature: bytes, signing_input: bytes) -> bool:
    # With 8 MB, which the history of a gateway without a feed does not need.
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(signature, signing_input)
    except InvalidSignature:
        return False
    return True


ALGORITHMS: dict[str, Callable[[Ed25519PublicKey, bytes, bytes], bool]] = {ED25519: _ed25519}
"""How each `alg` is verified. A further one is a line here and a kind of key in keys.py."""


def digest(jws: bytes) -> str:
    """Return what the next message has for `prev`."""
    return "sha256:" + hashlib.sha256(jws).hexdigest()

"""One signed message by itself: all that the chain needs is there, and it came where it belongs. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gateway.feed import foreign, jws
from gateway.feed.contract import MESSAGES, VERSION, topic
from gateway.feed.foreign import brief
from gateway.feed.jws import Malformed

if TYPE_CHECKING:
    from gateway.feed.trust import Trust
    from gateway.feed.verify_run import Held

SEQ_MAX = 2**63 - 1
ISSUED_MAX = 40  # characters
SEQ = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
HASH = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


def content(parsed: jws.Parsed) -> dict[str, Any]:
    """Return a payload with all that the chain needs. Raises Malformed."""
    body = foreign.read(parsed.payload)
    kind, seq, prev = body.get("kind"), body.get("seq"), body.get("prev")
    if body.get("v") != VERSION or not isinstance(kind, str) or kind not in MESSAGES:
        raise Malformed(f"v {brief(body.get('v'))}, kind {brief(kind)}: not of this contract")
    for key in ("gateway", "region", "enterprise", "chain"):
        value = body.get(key)
        if not isinstance(value, str):
            raise Malformed(f"{key} is no text")
        if len(value) > jws.ID_MAX or not value.isprintable():
            raise Malformed(f"{key} is no name: too long, or with characters that cannot be shown")
    if not isinstance(seq, str) or not SEQ.fullmatch(seq) or int(seq) > SEQ_MAX:
        raise Malformed(f"seq is {brief(seq)}")
    if not isinstance(prev, str) or not HASH.fullmatch(prev):
        raise Malformed("prev is no hash")
    return body


def issued(body: dict[str, Any]) -> str:
    """Return when a message says it was signed, "" if it does not say."""
    said = body.get("issued")
    return said if isinstance(said, str) and len(said) <= ISSUED_MAX and said.isprintable() else ""


def key_fault(trust: Trust, body: dict[str, Any], held: Held) -> str:
    """Return why a birth does not name the key it is signed with, "" if it does."""
    told = body.get("key")
    if body["kind"] != "birth" or not isinstance(told, dict):
        return ""
    named, signer = told.get("x"), trust.named(held.parsed.header.kid)
    if signer is None or named == signer.x or any(one.key.x == named for one in trust.keys):
        return ""  # one in force before: the birth was made before a rotation and signed behind it
    return f"the birth names another key than {signer.kid or 'the one'} that it is signed with"


def misplaced(site: str, rest: str, body: dict[str, Any]) -> str:
    """Return why a message does not belong on its topic, "" if it does."""
    own = "/".join((body["region"], body["enterprise"], body["gateway"]))
    if own != site:
        return f"a message of {own} on a topic of {site}"
    about = body.get("about")
    subject = about.get("id") if isinstance(about, dict) else ""
    if rest not in ("backfill", topic(body["kind"], subject if isinstance(subject, str) else "")):
        return f"a {body['kind']} message on …/{rest}"
    return ""

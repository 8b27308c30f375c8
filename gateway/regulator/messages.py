"""What came from a broker, as the message it is meant to be: topic and payload must name the same gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from gateway.feed import foreign
from gateway.feed.contract import MESSAGES, Payload, State
from gateway.feed.jws import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.feed import jws


LEVEL_MAX = 200  # characters of a topic level
HOSTILE = Malformed, ValueError, TypeError, LookupError, ArithmeticError, RecursionError
"""What a message can cause, whatever it is: it is counted and told, and ends nothing."""


class Place(NamedTuple):
    """Where a message was published. site: REGION/ENTERPRISE/GATEWAY. rest: what follows, such as data."""

    site: str
    rest: str


def place(prefix: str, topic: str) -> Place:
    """Return the place of a topic. Raises Malformed."""
    levels = topic.removeprefix(f"{prefix}/").split("/", 3)
    if not topic.startswith(f"{prefix}/") or len(levels) <= 3:
        raise Malformed(f"topic {topic[:200]} is not {prefix}/REGION/ENTERPRISE/GATEWAY/…")
    if max(map(len, levels)) > LEVEL_MAX:
        raise Malformed(f"topic {topic[:200]}… has a level of more than {LEVEL_MAX} characters")
    return Place("/".join(levels[:3]), levels[3])


def content(parsed: jws.Parsed) -> dict[str, Any]:
    """Return the payload of a message, whose signature is not looked at here. Raises Malformed."""
    found = foreign.read(parsed.payload)
    if not isinstance(found.get("kind"), str):
        raise Malformed("it has no kind")
    return found


def check_origin(at: Place, body: Mapping[str, Any]) -> None:
    """Raises Malformed where a payload speaks for another gateway than its topic: whoever may publish there may not say this."""
    named = "/".join(str(body.get(key, "")) for key in ("region", "enterprise", "gateway"))
    if named != at.site:
        raise Malformed(f"it speaks for {named[:200]}, on a topic of {at.site[:200]}")


def model(body: Mapping[str, Any]) -> Payload:
    """Return a payload as the contract has it. Raises Malformed."""
    kind = MESSAGES.get(str(body.get("kind")))  # type: ignore[call-overload]
    if kind is None:
        raise Malformed(f"no kind of message: {str(body.get('kind'))[:80]}")
    try:
        found: Payload = kind.model_validate(body)
    except ValidationError as error:
        raise Malformed(fault_of(error)) from None
    return found


def state(payload: bytes) -> State:
    """Return what a gateway said of its being connected. Raises Malformed."""
    try:
        return State.model_validate_json(payload)
    except ValidationError as error:
        raise Malformed(fault_of(error)) from None


def fault_of(error: ValidationError) -> str:
    """Return in a line what a payload has otherwise than the contract."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'payload'}: {first['msg']}"

"""Which keys a gateway's messages may be signed with: given on paper, else its first birth's; then what a trusted key announced."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal

from gateway.feed import jws

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.feed.jws import Parsed
    from gateway.feed.keys import PublicKey


class Verdict(Enum):
    """What a signature is worth. RETIRED: good, of a key that had been replaced by then. UNKNOWN: no key to check it with, yet."""

    GOOD = "good"
    BAD = "bad"
    RETIRED = "retired"
    UNKNOWN = "unknown"


@dataclass
class Trusted:
    """A key in use. source: where it is from. until: the last seq it may sign, by chain."""

    key: PublicKey
    source: Literal["given", "feed", "rotation"]
    until: dict[str, int]


class Trust:
    """The keys of one gateway."""

    def __init__(self, given: Sequence[PublicKey]) -> None:
        """given: keys from paper; none: the first birth is believed, and the report says so."""
        self.keys = [Trusted(key, "given", {}) for key in given]

    def __bool__(self) -> bool:
        """Return whether there is a key at all."""
        return bool(self.keys)

    def judge(self, parsed: Parsed, chain: str, seq: int) -> Verdict:
        """Return what the signature of a message is worth; costs an Ed25519 verification if its key is known."""
        named = [one for one in self.keys if one.key.is_named(parsed.header.kid)]
        if not named:
            return Verdict.UNKNOWN
        for one in named:
            if jws.verify(parsed, one.key.public):
                return Verdict.RETIRED if seq > one.until.get(chain, seq) else Verdict.GOOD
        return Verdict.BAD

    def believe(self, key: PublicKey) -> None:
        """Take the key of a first birth."""
        self.keys.append(Trusted(key, "feed", {}))

    def replace(self, kid: str, new: PublicKey, chain: str, seq: int) -> bool:
        """Take a key that message `seq`, signed by key `kid`, announced; return whether it is new. The old one signs nothing later."""
        for one in self.keys:
            if one.key.is_named(kid) and one.key.fingerprint != new.fingerprint:
                one.until[chain] = min(seq, one.until.get(chain, seq))
        if any(one.key.fingerprint == new.fingerprint for one in self.keys):
            return False
        self.keys.append(Trusted(new, "rotation", {}))
        return True

    def bodies(self) -> list[dict[str, str]]:
        """Return the keys as plain JSON."""
        return [
            {"kid": one.key.kid, "fingerprint": one.key.fingerprint, "x": one.key.x, "source": one.source}
            for one in self.keys
        ]

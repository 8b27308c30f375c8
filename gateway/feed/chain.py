"""Sealing: a body becomes the next message of the chain. Pure: nothing is written; what is not committed is thrown away."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from gateway.errors import MetergateError
from gateway.feed import jws
from gateway.feed.contract import GENESIS, VERSION
from gateway.feed.entries import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.feed.contract import Kind
    from gateway.feed.keys import Key


class TooLong(MetergateError):
    """A message would be longer than the contract allows; its body must be split. Nothing was sealed."""


class Place(NamedTuple):
    """Where a chain stands: its id, its newest seq (0: none yet) and that message's hash."""

    chain: str
    seq: int = 0
    head: str = GENESIS


class Sealer:
    """Makes messages one after another. To be able to take them back seal on a `fork` and keep it once it is committed."""

    def __init__(self, key: Key, *, gateway: str, region: str, enterprise: str, place: Place) -> None:
        """key: signs from the next message on. place: where the chain stands."""
        self.key, self.place = key, place
        self._gateway, self._region, self._enterprise = gateway, region, enterprise

    @property
    def chain(self) -> str:
        """Return the id of the chain."""
        return self.place.chain

    @property
    def seq(self) -> int:
        """Return the newest seq, 0 before the first message."""
        return self.place.seq

    @property
    def head(self) -> str:
        """Return what the next message has for `prev`."""
        return self.place.head

    def fork(self) -> Sealer:
        """Return a copy: what it seals does not move this one."""
        return copy(self)

    def seal(
        self,
        kind: Kind,
        subject: str,
        body: Mapping[str, Any],
        *,
        time_ns: int,
        issued: str,
        clock: Mapping[str, Any],
        config: str,
    ) -> Entry:
        """Return the next message of the chain, signed; seq and head move on.

        subject: the meter of a `meter` message, else "". body: what `kind` adds to `contract.Payload`, plain JSON values in the
        order of its model. issued: as text, with the site's offset. clock: `contract.Clock`. config: digest of the site file.
        Raises TooLong.
        """
        seq = self.place.seq + 1
        payload = {
            "v": VERSION,
            "kind": kind,
            "gateway": self._gateway,
            "region": self._region,
            "enterprise": self._enterprise,
            "chain": self.place.chain,
            "seq": str(seq),
            "prev": self.place.head,
            "issued": issued,
            "clock": dict(clock),
            "config": config,
        }
        if shared := payload.keys() & body.keys():
            raise ValueError(f"the body may not say {', '.join(sorted(shared))}: the chain does")
        signed = jws.sign(self.key.private, self.key.kid, orjson.dumps({**payload, **body}))
        if len(signed) > jws.MESSAGE_BYTES_MAX:
            raise TooLong(
                f"a {kind} message would have {len(signed)} bytes, more than {jws.MESSAGE_BYTES_MAX}"
            )
        self.place = Place(self.place.chain, seq, jws.digest(signed))
        return Entry(seq, kind, subject, time_ns, signed)

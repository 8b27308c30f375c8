"""Verifying a feed from the outside: message by message as it comes, of any number of gateways, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from gateway.feed import jws
from gateway.feed.contract import RETAINED
from gateway.feed.findings import FindingKind, Findings
from gateway.feed.jws import Malformed
from gateway.feed.keys import KeyRefused, PublicKey, from_body
from gateway.feed.trust import Trust, Verdict
from gateway.feed.verify_bodies import Revisions, checkpoint_fault, events, schema_checker
from gateway.feed.verify_chain import STRANGE_MAX, Chain, Room
from gateway.feed.verify_message import SEQ, content, issued, key_fault, misplaced
from gateway.feed.verify_order import Order
from gateway.feed.verify_report import chain_body, conclude, total
from gateway.feed.verify_run import Held, Outcome
from gateway.feed.verify_state import Announced, Gateway, Links

CHAINS_MAX = STATES_MAX = 10_000
WAITING_MAX = 100  # rotations signed with a key that is not known yet
WAITING_BYTES_MAX = 16 << 10  # of one of them
HELD_BYTES_MAX = 32 << 20  # of messages whose signature was not looked at, or has no key yet
TOPIC_MAX = 1000  # characters
FEED_TOPIC = re.compile(
    r"(?:.*/)?([^/]+/[^/]+/[^/]+)/(birth|birth/[^/]+|state|data|backfill|summary|event|checkpoint|fitting)"
)
Keys = Sequence[PublicKey] | Mapping[str, Sequence[PublicKey]]


class Accepted(NamedTuple):
    """A message that came for the first time and fits. Whether it is proved the report says, or `Verifier.is_authentic` at once."""

    site: str
    payload: dict[str, Any]
    chain: Chain
    held: Held


class Verifier:
    """Takes what was published on the topics of feeds and says what is not as it should be."""

    def __init__(
        self,
        keys: Keys = (),
        *,
        every_signature: bool = False,
        schema: bool = False,
    ) -> None:
        """keys: from paper; none at all: the first birth of each gateway is believed. schema: hold payloads against the contract.

        A mapping binds keys to sites, by REGION/ENTERPRISE/GATEWAY, or by GATEWAY for sites that it does not have in full; a site
        it does not name has no key, and no birth is believed, even if it is empty.
        """
        self._keys = keys
        self._believes = not isinstance(keys, Mapping) and not keys
        self._every = every_signature
        self._schema = schema_checker() if schema else None
        self._findings = Findings()
        self._gateways: dict[str, Gateway] = {}
        self._states: dict[str, tuple[str, int, int]] = {}  # of gateways of which nothing else came yet
        self._room = Room()
        self._order = Order()
        self.messages = self.repeats = self.others = 0

    def feed(self, topic: str, retain: bool, payload: bytes, *, line: int = 0) -> Accepted | None:
        """Take a message; return what it says if it is new and fits. line: for findings, else the number of messages so far."""
        self.messages += 1
        line = line or self.messages
        match = FEED_TOPIC.fullmatch(topic) if len(topic) <= TOPIC_MAX else None
        if match is None or not payload:  # nothing of a feed; or a retained message that was cleared
            self.others += 1
            return None
        try:
            if match[2] == "state":
                self._state(match[1], payload, line)
                return None
            parsed = jws.parse(payload)
            body = content(parsed)
        except jws.UnknownAlgorithm as error:
            self._findings.add("unknown_algorithm", f"{topic[:200]}: {error}", site=match[1], line=line)
            return None
        except Malformed as error:
            is_json = payload[:1] == b"{"
            text = "is not signed" if is_json else str(error)
            kind: FindingKind = "unsigned" if is_json else "malformed"
            self._findings.add(kind, f"{topic[:200]}: {text}", site=match[1], line=line)
            return None
        is_late = match[2] == "backfill"
        is_kept = not is_late and body["kind"] in RETAINED
        held = Held(
            int(body["seq"]),
            body["prev"],
            jws.digest(payload),
            line,
            parsed,
            issued(body),
            is_kept,
            is_late,
            retain,
        )
        if fault := misplaced(match[1], match[2], body):
            self._findings.add(
                "wrong_topic", fault, site=match[1], chain=body["chain"], seq=held.seq, line=line
            )
            return None
        return self._signed(topic, retain, body, held)

    def is_authentic(self, accepted: Accepted) -> bool:
        """Return whether a trusted key signed this message itself; costs an Ed25519 verification. May change as keys become known."""
        return accepted.chain.judge(accepted.held) is Verdict.GOOD

    def spoiled(self, line: int, text: str, *, is_cut: bool = False) -> None:
        """Take note of a line of a recording that is no message."""
        self._findings.add("truncated" if is_cut else "malformed", text, line=line)

    def _state(self, site: str, payload: bytes, line: int) -> None:
        """Take the only message that is not signed: it proves nothing, but says how far the chain was. Raises Malformed."""
        try:
            state = orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            raise Malformed("the state is no JSON") from error
        if not isinstance(state, dict) or not isinstance(state.get("online"), bool):
            raise Malformed("the state says neither online nor offline")
        chain, seq = state.get("chain"), state.get("seq")
        if not isinstance(chain, str) or not isinstance(seq, str) or not SEQ.fullmatch(seq):
            return
        gateway = self._gateways.get(site)
        known = gateway.state_seq if gateway else self._states.get(site)
        told = chain[: jws.ID_MAX], int(seq), line
        if known is not None and known[0] == told[0] and known[1] > told[1]:
            return  # a last will is from when the gateway connected
        if gateway is not None:
            gateway.state_seq = told
        elif len(self._states) < STATES_MAX:
            self._states[site] = told

    def _signed(self, topic: str, retain: bool, body: dict[str, Any], held: Held) -> Accepted | None:
        site = "/".join((body["region"], body["enterprise"], body["gateway"]))
        gateway = self._gateways.get(site) or self._new_gateway(site, body["gateway"])
        links = gateway.chains.get(body["chain"]) or self._new_links(site, gateway, body["chain"])
        is_first = body["kind"] == "birth" and self._believes and not gateway.trust
        if is_first and not self._believe(gateway, links, body, held):
            return None
        announced = [detail["key"] for detail in events(body, "key_rotated") if "key" in detail]
        is_known = gateway.trust.knows(held.parsed.header.kid)
        self._make_room(held, is_known=is_known)
        outcome = links.chain.take(held, look=bool(announced) or body["kind"] == "checkpoint")
        if outcome is Outcome.REFUSED or not self._known(site, gateway, links, held):
            return None
        if retain and not held.is_kept:
            links.chain.tell("replayed", f"is retained on {topic}, where brokers keep nothing", held)
        if is_known:
            if not (retain and held.is_kept):
                self._order_chains(gateway, links, held, outcome)
            self._order.take(topic, held, links, outcome)
        if outcome is Outcome.REPEAT:
            self.repeats += 1
            return None
        for key in announced:
            self._rotate(gateway, links, held, key)
        self._try_again(gateway)
        if is_known:
            self._look_into(gateway, links, body, held)
        return Accepted(site, body, links.chain, held)

    def _new_gateway(self, site: str, id_: str) -> Gateway:
        if isinstance(self._keys, Mapping):
            keys = self._keys.get(site) or self._keys.get(id_) or ()
        else:
            keys = self._keys
        return Gateway(id_, Trust([key for key in keys if key.is_of(id_)]))

    def _new_links(self, site: str, gateway: Gateway, id_: str) -> Links:
        def forget(held: Held) -> None:
            revisions.forget(orjson.loads(held.parsed.payload))

        revisions = Revisions(gateway.memory, len(gateway.chains))
        chain = Chain(
            site, id_, gateway.trust, self._findings, self._room, every=self._every, taken_out=forget
        )
        return Links(chain, revisions)

    def _make_room(self, held: Held, *, is_known: bool) -> None:
        """Let go of what nobody could prove yet before it is too much."""
        room = self._room
        room.bytes_held += len(held.parsed.signing_input) + len(held.parsed.payload)
        every = (links.chain for one in self._gateways.values() for links in one.chains.values())
        if room.bytes_held > HELD_BYTES_MAX:
            room.strange, room.bytes_held = sum(chain.forget_strange() for chain in every), 0
        elif room.strange >= STRANGE_MAX and not is_known:
            room.strange = sum(chain.strange for chain in every)

    def _known(self, site: str, gateway: Gateway, links: Links, held: Held) -> bool:
        """Keep a gateway and a chain now that a message of them counts; return whether there is room."""
        if links.chain.id in gateway.chains:
            return True
        if sum(len(one.chains) for one in self._gateways.values()) >= CHAINS_MAX:
            text = f"there are more than {CHAINS_MAX} chains; no more are followed"
            links.chain.tell("malformed", text, held)
            return False
        if site not in self._gateways:
            gateway.state_seq = self._states.pop(site, gateway.state_seq)
            self._gateways[site] = gateway
        gateway.chains[links.chain.id] = links
        return True

    def _believe(self, gateway: Gateway, links: Links, body: dict[str, Any], held: Held) -> bool:
        """Take the key of a first birth, if the birth is signed with it; return whether it may be."""
        try:
            key = from_body(body.get("key"), gateway.id)
        except KeyRefused as error:
            links.chain.tell("malformed", f"the key of the birth {error}", held)
            return True
        if key.is_named(held.parsed.header.kid):
            if not jws.verify(held.parsed, key.public):
                links.chain.refuse(held, Verdict.BAD)
                return False
            gateway.trust.believe(key)
            gateway.fresh.append(key)
            self._try_again(gateway)
        return True

    def _rotate(self, gateway: Gateway, links: Links, held: Held, body: object) -> None:
        """Take a key that the old one announced."""
        try:
            key = from_body(body, gateway.id)
        except KeyRefused as error:
            links.chain.tell("malformed", f"the new key {error}", held)
            return
        verdict = links.chain.judge(held)
        if verdict is Verdict.UNKNOWN:
            is_short = len(held.parsed.signing_input) <= WAITING_BYTES_MAX
            if is_short and self._room.waiting < WAITING_MAX:
                self._room.waiting += 1
                gateway.waiting.append((links, held, key))
        elif verdict is Verdict.GOOD:
            self._replace(gateway, links, held, key)

    def _replace(self, gateway: Gateway, links: Links, held: Held, key: PublicKey) -> None:
        """Let a key take the place of the one that signed this message."""
        kid = held.parsed.header.kid
        old = next(one for one in gateway.trust.keys if one.key.is_named(kid))
        is_new, is_second = gateway.trust.replace(kid, key, links.chain.id, held.seq)
        if is_second:
            links.chain.tell("fork", f"key {kid} had been replaced by another key: two have it", held)
        if old.key.fingerprint != key.fingerprint:
            links.chain.prove_all()
            links.chain.retire(old.key, held)
            for other in old.proved.keys() - {links.chain.id}:
                text = f"key {kid} is replaced here; chain {other} was signed with it too, before or after"
                links.chain.notice("unknown_key", text, held)
        if is_new:
            gateway.fresh.append(key)

    def _try_again(self, gateway: Gateway) -> None:
        """Look again at what had no key until now, until that tells of no other key."""
        while gateway.fresh:
            fresh, gateway.fresh = gateway.fresh, []
            for links in gateway.chains.values():
                named = [
                    held
                    for run in links.chain.runs
                    for held in run.pending
                    if any(key.is_named(held.parsed.header.kid) for key in fresh)
                ]
                links.chain.prove_all()
                for held in named:
                    if links.chain.is_proved(held):
                        self._look_into(gateway, links, orjson.loads(held.parsed.payload), held)
            waiting, gateway.waiting = gateway.waiting, []
            self._room.waiting -= len(waiting)
            for links, held, key in waiting:
                self._rotate(gateway, links, held, key.body)

    def _order_chains(self, gateway: Gateway, links: Links, held: Held, outcome: Outcome) -> None:
        """Notice that a chain begins or that one goes on that another had followed."""
        if not links.order:
            links.chain.is_new = gateway.orders > 0
            gateway.orders += 1
            links.order = gateway.orders
        elif links.order < gateway.orders and not links.is_back and outcome is Outcome.NEW:
            links.is_back = True
            links.chain.tell(
                "new_chain",
                "this chain goes on after another had taken its place: two gateways with one identity?",
                held,
            )

    def _look_into(self, gateway: Gateway, links: Links, body: dict[str, Any], held: Held) -> None:
        """Find what a payload says wrongly."""
        chain = links.chain
        if body["kind"] == "checkpoint" and (fault := checkpoint_fault(body, held.seq)):
            chain.tell("bad_checkpoint", fault, held)
        if body["kind"] in ("birth", "meter"):
            links.announced = links.announced or Announced()
            links.announced.note(body, held)
            if fault := key_fault(gateway.trust, body, held):
                chain.tell("unknown_key", fault, held)
        for detail in events(body, "chain_begins"):
            reason = detail.get("reason")
            links.why = reason[:80] if isinstance(reason, str) and reason else links.why
        for text, is_own in links.revisions.note(body, held.seq, held.line):
            (chain.tell if is_own else chain.notice)("bad_revision", text, held)
        if self._schema is not None and (fault := self._schema(body)):
            chain.tell("wrong_schema", fault, held)

    def report(self) -> dict[str, Any]:
        """Return what was found so far, plain JSON; may be asked for again."""
        for gateway in self._gateways.values():
            for links in gateway.chains.values():
                links.chain.prove_all()
        findings = self._findings.copy()
        self._order.conclude(findings)
        for gateway in self._gateways.values():
            for links in gateway.chains.values():
                conclude(gateway, links, findings)
        keys = [
            {"gateway": site} | key
            for site, gateway in self._gateways.items()
            for key in gateway.trust.bodies()
        ]
        every = [links for one in self._gateways.values() for links in one.chains.values()]
        chains = [chain_body(links, findings) for links in every]
        count = sum(n for (_, severity), n in findings.counts.items() if severity == "finding")
        batches = sum(links.chain.messages for links in every)
        authentic = sum(links.chain.verified for links in every)
        return {
            "batches": batches,
            "verified": not count and authentic == batches > 0,
            "messages": self.messages,
            "authentic": authentic,
            "missing": total(chain["missing"] for chain in chains),
            "repeats": self.repeats,
            "others": self.others,
            "intervals": sum(links.revisions.intervals for links in every),
            "revisions": sum(links.revisions.revisions for links in every),
            "count": count,
            "notices": findings.counts.total() - count,
            "counts": {kind: n for (kind, severity), n in findings.counts.items() if severity == "finding"},
            "findings": [finding.body for finding in sorted(findings.kept, key=lambda one: one.line)],
            "chains": chains,
            "key": keys[0] if keys else None,
            "keys": keys,
            "unused_keys": self._unused(),
        }

    def _unused(self) -> list[dict[str, str]]:
        """Return the keys from paper with which nothing that came was signed."""
        used = {
            one.key.fingerprint
            for gateway in self._gateways.values()
            for one in gateway.trust.keys
            if one.proved
        }
        given = self._keys
        every = [key for keys in given.values() for key in keys] if isinstance(given, Mapping) else given
        return [
            {"kid": key.kid, "fingerprint": key.fingerprint} for key in every if key.fingerprint not in used
        ]

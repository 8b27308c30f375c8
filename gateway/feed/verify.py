"""Verifying a feed from the outside: message by message as it comes, of any number of gateways, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from gateway.feed import jws
from gateway.feed.contract import MESSAGES, RETAINED, VERSION, topic
from gateway.feed.findings import Findings
from gateway.feed.jws import Malformed
from gateway.feed.keys import KeyRefused, PublicKey, from_body
from gateway.feed.trust import Trust, Verdict
from gateway.feed.verify_bodies import Revisions, checkpoint_fault, events, schema_checker
from gateway.feed.verify_chain import Chain, Held, Outcome

if TYPE_CHECKING:
    from gateway.feed.findings import Severity

CHAINS_MAX = TOPICS_MAX = 10_000
WAITING_MAX = 1000
FEED_TOPIC = re.compile(
    r"(?:.*/)?([^/]+/[^/]+/[^/]+)/(birth|birth/[^/]+|state|data|backfill|summary|event|checkpoint|fitting)"
)
SEQ = re.compile(r"[1-9][0-9]{0,19}", re.ASCII)
HASH = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
Keys = Sequence[PublicKey] | Mapping[str, Sequence[PublicKey]]
_BEFORE = "not in this recording; it may have been sent before the recording began"


class Accepted(NamedTuple):
    """A message that came for the first time and fits. Whether it is proved the report says, or `Verifier.is_authentic` at once."""

    site: str
    payload: dict[str, Any]
    chain: Chain
    held: Held


@dataclass
class Links:
    """A chain and what its payloads say. order: which of its gateway's chains, as they came live (0: only retained so far)."""

    chain: Chain
    revisions: Revisions = field(default_factory=Revisions)
    order: int = 0
    why: str = ""
    is_back: bool = False


@dataclass
class Gateway:
    """One gateway. waiting: rotations signed with a key that is not known yet."""

    id: str
    trust: Trust
    chains: dict[str, Links] = field(default_factory=dict)
    orders: int = 0
    waiting: list[tuple[Links, Held, PublicKey]] = field(default_factory=list)
    state_seq: tuple[str, int, int] = ("", 0, 0)  # chain, seq, line of the newest state


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
        self._newest: dict[str, tuple[str, int, int]] = {}  # topic -> chain, greatest seq, last seq
        self.messages = self.repeats = self.others = 0

    def feed(self, topic: str, retain: bool, payload: bytes, *, line: int = 0) -> Accepted | None:
        """Take a message; return what it says if it is new and fits. line: for findings, else the number of messages so far."""
        self.messages += 1
        line = line or self.messages
        match = FEED_TOPIC.fullmatch(topic)
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
            self._findings.add("unknown_algorithm", f"{topic}: {error}", line=line)
            return None
        except Malformed as error:
            is_json = payload[:1] == b"{"
            text = "is not signed" if is_json else str(error)
            self._findings.add("unsigned" if is_json else "malformed", f"{topic}: {text}", line=line)
            return None
        held = Held(int(body["seq"]), body["prev"], jws.digest(payload), line, parsed)
        if fault := _misplaced(match[1], match[2], body):
            self._findings.add("wrong_topic", fault, chain=body["chain"], seq=held.seq, line=line)
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
        if state["online"] and site in self._gateways and SEQ.fullmatch(str(state.get("seq"))):
            self._gateways[site].state_seq = (str(state.get("chain")), int(state["seq"]), line)

    def _signed(self, topic: str, retain: bool, body: dict[str, Any], held: Held) -> Accepted | None:
        site = "/".join((body["region"], body["enterprise"], body["gateway"]))
        gateway = self._gateways.get(site) or self._new_gateway(site, body["gateway"])
        links = gateway.chains.get(body["chain"]) or self._new_links(gateway, body["chain"])
        is_first = body["kind"] == "birth" and self._believes and not gateway.trust
        if is_first and not self._believe(gateway, links, body, held):
            return None
        announced = [detail["key"] for detail in events(body, "key_rotated") if "key" in detail]
        outcome = links.chain.take(held, retain=retain, look=bool(announced) or body["kind"] == "checkpoint")
        if outcome is Outcome.REFUSED or not self._known(site, gateway, links, held):
            return None
        is_backfill = topic.endswith("/backfill")
        if not retain and not is_backfill:
            self._order_chains(gateway, links, held)
        is_retained = body["kind"] in RETAINED and not is_backfill
        newer = gateway.chains.get(self._newest.get(topic, ("", 0, 0))[0])
        if is_retained and newer is not None and newer.order > links.order:
            links.chain.tell("replayed", f"of an older chain than what came before on {topic}", held)
        self._order(topic, held, links, outcome, is_backfill=is_backfill, is_retained=is_retained)
        if outcome is Outcome.REPEAT:
            self.repeats += 1
            return None
        for key in announced:
            self._rotate(gateway, links, held, key)
        self._look_into(links, body, held)
        return Accepted(site, body, links.chain, held)

    def _new_gateway(self, site: str, id_: str) -> Gateway:
        if isinstance(self._keys, Mapping):
            keys = self._keys.get(site) or self._keys.get(id_) or ()
        else:
            keys = self._keys
        return Gateway(id_, Trust([key for key in keys if key.is_of(id_)]))

    def _new_links(self, gateway: Gateway, id_: str) -> Links:
        def forget(held: Held) -> None:
            revisions.forget(orjson.loads(held.parsed.payload))

        revisions = Revisions()
        chain = Chain(id_, gateway.trust, self._findings, every=self._every, taken_out=forget)
        return Links(chain, revisions)

    def _known(self, site: str, gateway: Gateway, links: Links, held: Held) -> bool:
        """Keep a gateway and a chain now that a message of them counts; return whether there is room."""
        if links.chain.id in gateway.chains:
            return True
        if sum(len(one.chains) for one in self._gateways.values()) >= CHAINS_MAX:
            text = f"there are more than {CHAINS_MAX} chains; no more are followed"
            links.chain.tell("malformed", text, held)
            return False
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
        if verdict is Verdict.UNKNOWN and len(gateway.waiting) < WAITING_MAX:
            gateway.waiting.append((links, held, key))
        elif verdict is Verdict.GOOD and gateway.trust.replace(
            held.parsed.header.kid, key, links.chain.id, held.seq
        ):
            self._try_again(gateway)

    def _try_again(self, gateway: Gateway) -> None:
        """Look again at what had no key until now."""
        for links in gateway.chains.values():
            links.chain.prove_all()
        waiting, gateway.waiting = gateway.waiting, []
        for links, held, key in waiting:
            self._rotate(gateway, links, held, key.body)

    def _order_chains(self, gateway: Gateway, links: Links, held: Held) -> None:
        """Notice that a chain begins or that one goes on that another had followed."""
        if not links.order:
            gateway.orders += 1
            links.order = gateway.orders
        elif links.order < gateway.orders and not links.is_back:
            links.is_back = True
            links.chain.tell(
                "new_chain",
                "this chain goes on after another had taken its place: two gateways with one identity?",
                held,
            )

    def _order(
        self,
        topic: str,
        held: Held,
        links: Links,
        outcome: Outcome,
        *,
        is_backfill: bool,
        is_retained: bool,
    ) -> None:
        """Find what comes behind its turn on its topic."""
        chain, seq = links.chain, held.seq
        before = self._newest.get(topic)
        if before is not None and before[0] == chain.id:
            _, greatest, last = before
            if outcome is Outcome.REPEAT and is_retained and seq < greatest:
                chain.tell("replayed", f"an old message again, after {greatest} on {topic}", held)
            elif outcome is Outcome.NEW and is_backfill and seq < last:
                text = f"comes after {last} on {topic}: sent again, or put in another order"
                self._findings.add(
                    "reordered", text, chain=chain.id, seq=seq, line=held.line, severity="notice"
                )
            elif outcome is Outcome.NEW and not is_backfill and seq < greatest:
                chain.tell("reordered", f"comes after {greatest} on {topic}", held)
            if outcome is Outcome.NEW or is_retained:
                self._newest[topic] = (chain.id, max(seq, greatest), seq)
        elif len(self._newest) < TOPICS_MAX:
            self._newest[topic] = (chain.id, seq, seq)

    def _look_into(self, links: Links, body: dict[str, Any], held: Held) -> None:
        """Find what a payload says wrongly."""
        chain = links.chain
        if body["kind"] == "checkpoint" and (fault := checkpoint_fault(body, held.seq)):
            chain.tell("bad_checkpoint", fault, held)
        for detail in events(body, "chain_begins"):
            links.why = str(detail.get("reason", "")) or links.why
        for text in links.revisions.note(body, held.seq, held.line):
            chain.tell("bad_revision", text, held)
        if self._schema is not None and (fault := self._schema(body)):
            chain.tell("wrong_schema", fault, held)

    def report(self) -> dict[str, Any]:
        """Return what was found so far, plain JSON; may be asked for again."""
        for gateway in self._gateways.values():
            for links in gateway.chains.values():
                links.chain.prove_all()
        findings = self._findings.copy()
        for gateway in self._gateways.values():
            for links in gateway.chains.values():
                _conclude(gateway, links, findings)
        keys = [
            {"gateway": site} | key
            for site, gateway in self._gateways.items()
            for key in gateway.trust.bodies()
        ]
        every = [links for one in self._gateways.values() for links in one.chains.values()]
        count = sum(n for (_, severity), n in findings.counts.items() if severity == "finding")
        batches = sum(links.chain.messages for links in every)
        authentic = sum(links.chain.verified for links in every)
        return {
            "batches": batches,
            "verified": not count and authentic == batches > 0,
            "messages": self.messages,
            "authentic": authentic,
            "repeats": self.repeats,
            "others": self.others,
            "intervals": sum(links.revisions.intervals for links in every),
            "revisions": sum(links.revisions.revisions for links in every),
            "count": count,
            "notices": findings.counts.total() - count,
            "counts": {kind: n for (kind, severity), n in findings.counts.items() if severity == "finding"},
            "findings": [finding.body for finding in sorted(findings.kept, key=lambda one: one.line)],
            "chains": [
                _chain_body(site, links)
                for site, gateway in self._gateways.items()
                for links in gateway.chains.values()
            ],
            "key": keys[0] if keys else None,
            "keys": keys,
        }


def content(parsed: jws.Parsed) -> dict[str, Any]:
    """Return a payload with all that the chain needs. Raises Malformed."""
    try:
        body = orjson.loads(parsed.payload)
    except orjson.JSONDecodeError as error:
        raise Malformed("the payload is no JSON") from error
    if not isinstance(body, dict):
        raise Malformed("the payload is no JSON object")
    if body.get("v") != VERSION or str(body.get("kind")) not in MESSAGES:
        raise Malformed(f"v {body.get('v')!r:.20}, kind {body.get('kind')!r:.40}: not of this contract")
    for key in ("gateway", "region", "enterprise", "chain"):
        if not isinstance(body.get(key), str):
            raise Malformed(f"{key} is no text")
    if not isinstance(body.get("seq"), str) or not SEQ.fullmatch(body["seq"]):
        raise Malformed(f"seq is {body.get('seq')!r:.40}")
    if not isinstance(body.get("prev"), str) or not HASH.fullmatch(body["prev"]):
        raise Malformed("prev is no hash")
    return body


def _misplaced(site: str, rest: str, body: dict[str, Any]) -> str:
    """Return why a message does not belong on its topic, "" if it does."""
    own = "/".join((body["region"], body["enterprise"], body["gateway"]))
    if own != site:
        return f"a message of {own} on a topic of {site}"
    about = body.get("about")
    subject = str(about.get("id", "")) if isinstance(about, dict) else ""
    if rest not in ("backfill", topic(body["kind"], subject)):
        return f"a {body['kind']} message on …/{rest}"
    return ""


def _conclude(gateway: Gateway, links: Links, findings: Findings) -> None:
    """Add what only the whole of a chain shows."""
    chain = links.chain
    holes = list(chain.holes())
    for first, last, line, before in holes:
        what = f"message {first} is" if first == last else f"messages {first}–{last} are"
        text = f"{what} {_BEFORE if before else 'missing'}"
        severity: Severity = "notice" if before else "finding"
        findings.add("gap", text, chain=chain.id, seq=first, line=line, severity=severity)
    for first, last, line, kid in chain.unproven():
        span = f"message {first}" if first == last else f"messages {first}–{last}"
        why = "which no trusted key speaks for" if gateway.trust else "and no birth with it came; give --key"
        text = f"{span}: signed with key {kid}, {why}"
        findings.add("unknown_key", text, chain=chain.id, seq=first, line=line)
    if not holes and chain.runs:
        for seq, line, text in links.revisions.skipped(from_first=chain.runs[0].first == 1):
            findings.add("bad_revision", text, chain=chain.id, seq=seq, line=line)
    if links.order > 1:
        why = f"the gateway says why: {links.why}" if links.why else "no event says why (chain_begins)"
        run = chain.runs[0]
        text = f"a new chain; {why}"
        findings.add("new_chain", text, chain=chain.id, seq=run.first, line=run.line, severity="notice")
    told, seq, line = gateway.state_seq
    if told == chain.id and chain.runs and seq > chain.runs[-1].last:
        text = (
            f"the gateway said (unsigned) that it was at {seq}; the last that came is {chain.runs[-1].last}"
        )
        findings.add("truncated", text, chain=chain.id, seq=seq, line=line, severity="notice")


def _chain_body(site: str, links: Links) -> dict[str, Any]:
    chain = links.chain
    return {
        "gateway": site,
        "chain": chain.id,
        "first": str(chain.runs[0].first) if chain.runs else None,
        "last": str(chain.runs[-1].last) if chain.runs else None,
        "head": chain.runs[-1].head if chain.runs else None,
        "messages": chain.messages,
        "authentic": chain.verified,
        "holes": sum(last - first + 1 for first, last, _, before in chain.holes() if not before),
    }

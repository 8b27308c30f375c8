"""Our three lines of JWS against another implementation, both ways, and against what is no message."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc import jws as foreign
from joserfc.errors import BadSignatureError
from joserfc.jwk import OKPKey

from gateway.feed import jws
from gateway.feed.contract import TYP
from gateway.feed.keys import PublicKey
from tests.fakes.signed_feed import key_of

KEY = key_of()
# joserfc takes up to 126 KiB unless told otherwise
PAYLOADS = [b"{}", b"", b'{"v":1}', "能耗".encode(), bytes(range(256)), b"x" * 90_000]


@pytest.mark.parametrize("payload", PAYLOADS, ids=len)
def test_joserfc_takes_what_we_sign(payload: bytes) -> None:
    signed = jws.sign(KEY.private, KEY.kid, payload)
    key = OKPKey.import_key(dict(KEY.known.jwk))
    taken = foreign.deserialize_compact(signed.decode(), key, algorithms=["Ed25519"])
    assert taken.payload == payload
    assert taken.headers() == {"alg": "Ed25519", "kid": KEY.kid, "typ": TYP}
    other = OKPKey.import_key(dict(key_of("wrong").known.jwk))
    with pytest.raises(BadSignatureError):
        foreign.deserialize_compact(signed.decode(), other, algorithms=["Ed25519"])


@pytest.mark.parametrize("payload", PAYLOADS, ids=len)
def test_we_take_what_joserfc_signs(payload: bytes) -> None:
    pair = OKPKey.generate_key("Ed25519")
    header = {"alg": "Ed25519", "kid": "plant-1-x", "typ": TYP}
    signed = foreign.serialize_compact(header, payload, pair, algorithms=["Ed25519"])
    public = pair.public_key
    assert isinstance(public, Ed25519PublicKey)
    parsed = jws.parse(signed.encode())
    assert parsed.payload == payload
    assert jws.verify(parsed, public)
    assert not jws.verify(parsed, KEY.public)


def test_the_example_of_rfc_8037() -> None:
    """Source: RFC 8037 Appendix A.1, A.2, A.4: key, signing input and signature (its alg is "EdDSA", the same algorithm)."""
    private = Ed25519PrivateKey.from_private_bytes(jws.decode(b"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"))
    assert PublicKey.of(private.public_key()).x == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    signing_input = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    signature = b"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    assert jws.encode(private.sign(signing_input)) == signature
    assert jws.encode(b"Example of Ed25519 signing") == signing_input.split(b".")[1]


@pytest.mark.parametrize("size", range(70))
def test_base64url_is_that_of_the_standard_library(size: int) -> None:
    raw = bytes((size * 37 + n * 101) % 256 for n in range(size))
    text = base64.urlsafe_b64encode(raw).rstrip(b"=")
    assert jws.encode(raw) == text
    assert jws.decode(text) == raw


@pytest.mark.parametrize(
    "text", [b"A", b"AB", b"ABC", b"AAAAA", b"QQ==", b"Q Q", b"Q+A", b"Q/A", b"QU\n", b"QUJ"]
)
def test_each_text_that_is_not_the_one_is_refused(text: bytes) -> None:
    """Else a signature or a header could be written in two ways, and a changed byte would not be seen."""
    with pytest.raises(jws.Malformed):
        jws.decode(text)


def _header(**fields: object) -> bytes:
    return jws.encode(json.dumps({"alg": "Ed25519", "kid": "k", "typ": TYP} | fields).encode())


@pytest.mark.parametrize("alg", ["none", "EdDSA", "HS256", "ed25519", None, 1, ["Ed25519"]])
def test_an_algorithm_that_is_not_in_the_table_is_refused(alg: object) -> None:
    with pytest.raises(jws.UnknownAlgorithm, match="knows Ed25519"):
        jws.parse(_header(alg=alg) + b".e30.AAAA")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "1 parts"),
        (b"a.b", "2 parts"),
        (b"a.b.c.d", "4 parts"),
        (b"....", "5 parts"),
        (b"e30.e30.\xff", "alg"),
        (b"!!.e30.AAAA", "header is not base64url"),
        (b"bm8.e30.AAAA", "no JSON"),
        (b"W10.e30.AAAA", "no JSON object"),
        (_header(typ="JWT") + b".e30.AAAA", "typ"),
        (_header(crit=["b64"], b64=False) + b".e30.AAAA", "crit"),
        (_header(kid="") + b".e30.AAAA", "kid"),
        (_header(kid=5) + b".e30.AAAA", "kid"),
        (_header() + b".e3*0.AAAA", "payload"),
        (_header() + b".e30.A=A", "signature"),
        (b"A" * (jws.MESSAGE_BYTES_MAX + 1), "more than"),
    ],
)
def test_what_is_no_message_says_why(text: bytes, why: str) -> None:
    with pytest.raises(jws.Malformed, match=why):
        jws.parse(text)


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_signature_of_another_length_is_no_signature(size: int) -> None:
    signed = jws.sign(KEY.private, KEY.kid, b"{}").rsplit(b".", 1)[0]
    assert not jws.verify(jws.parse(signed + b"." + jws.encode(bytes(size))), KEY.public)

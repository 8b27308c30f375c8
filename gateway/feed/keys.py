"""Keys of the feed: the gateway's own in its state folder, changed in two steps so that a kill between loses none; public ones to trust.

Files: `feed.key` (in force), `feed.key.next` (made, not in force yet), `feed.retired.json` (public keys that were in force), `feed.key.made`
(empty: the key has begun no chain yet).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.errors import MetergateError, StorageError
from gateway.feed import jws
from gateway.state_folder import replace_file

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

KEY_FILE, NEXT_FILE, RETIRED_FILE = "feed.key", "feed.key.next", "feed.retired.json"
MADE_FILE = "feed.key.made"
MOVE_IT = "move it away, and a new key and a new chain begin, whose fingerprint goes on paper"
KID_HEX = 16  # of the fingerprint, at the end of a kid
PUBLIC_BYTES = 32  # RFC 8032 §5.1.5
_RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
_PEM = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


class KeyRefused(MetergateError):
    """What should be a public key is none, or not the one it says it is."""


class PublicKey(NamedTuple):
    """A key to trust. fingerprint: SHA-256 of its 32 raw bytes, hexadecimal. kid: "" if the file did not name one."""

    kid: str
    public: Ed25519PublicKey
    fingerprint: str

    @classmethod
    def of(cls, public: Ed25519PublicKey, kid: str = "") -> PublicKey:
        """Return a key with its fingerprint."""
        return cls(kid, public, hashlib.sha256(public.public_bytes(*_RAW)).hexdigest())

    @property
    def x(self) -> str:
        """Return the key itself, base64url as in RFC 8037."""
        return jws.encode(self.public.public_bytes(*_RAW)).decode()

    @property
    def jwk(self) -> dict[str, str]:
        """Return the key as a JWK (RFC 7517, RFC 8037)."""
        named = {"kid": self.kid} if self.kid else {}
        return {"kty": "OKP", "crv": "Ed25519", "x": self.x, "alg": jws.ED25519, "use": "sig"} | named

    @property
    def body(self) -> dict[str, str]:
        """Return the key as messages carry it: `contract.Key`."""
        return {"kid": self.kid, "alg": jws.ED25519, "x": self.x, "fingerprint": self.fingerprint}

    @property
    def pem(self) -> str:
        """Return the key as PEM, for openssl and others."""
        return self.public.public_bytes(*_PEM).decode()

    def is_named(self, kid: str) -> bool:
        """Return whether a message signed under `kid` says that it is this key's."""
        return kid == self.kid or kid.endswith("-" + self.fingerprint[:KID_HEX])

    def is_of(self, gateway: str) -> bool:
        """Return whether it may speak for a gateway: one whose kid names another gateway may not."""
        named, dash, digits = self.kid.rpartition("-")
        return not dash or digits != self.fingerprint[:KID_HEX] or named == gateway


class Key(NamedTuple):
    """The gateway's own key."""

    private: Ed25519PrivateKey
    known: PublicKey

    @classmethod
    def of(cls, private: Ed25519PrivateKey, gateway: str) -> Key:
        """Return a key with its name: the gateway's id and the first 16 digits of the fingerprint."""
        known = PublicKey.of(private.public_key())
        return cls(private, known._replace(kid=f"{gateway}-{known.fingerprint[:KID_HEX]}"))

    @classmethod
    def make(cls, gateway: str) -> Key:
        """Return a new key."""
        return cls.of(Ed25519PrivateKey.generate(), gateway)

    @property
    def kid(self) -> str:
        """Return its name in headers."""
        return self.known.kid

    @property
    def public(self) -> Ed25519PublicKey:
        """Return what verifies its signatures."""
        return self.known.public

    @property
    def fingerprint(self) -> str:
        """Return SHA-256 of the 32 raw bytes of the public key, hexadecimal."""
        return self.known.fingerprint

    @property
    def body(self) -> dict[str, str]:
        """Return the public key as messages carry it: `contract.Key`."""
        return self.known.body


class KeyRing:
    """The keys of a gateway. A rotation: `rotate`, commit the event signed by the old key, `adopt`; after a start, `settle`.

    The commit decides which key signs; the files follow it, as soon as the disk lets them (`finish`).
    error: why they have not yet, "": they have.
    """

    def __init__(self, folder: Path, gateway: str) -> None:
        """Load the key, or make one; it `is_new` until `began`, over a kill too. Raises StorageError: one that is damaged is never replaced."""
        self._folder, self._gateway = folder, gateway
        if not (folder / KEY_FILE).exists():
            try:
                replace_file(folder / MADE_FILE, b"")
            except OSError as error:
                raise StorageError(f"{folder / MADE_FILE}: {error.strerror}") from error
            _save(folder / KEY_FILE, Key.make(gateway))
        self.is_new = (folder / MADE_FILE).exists()
        self.current = load_key(folder / KEY_FILE, gateway)
        self.next = load_key(folder / NEXT_FILE, gateway) if (folder / NEXT_FILE).exists() else None
        retired = _load_retired(folder / RETIRED_FILE)
        # A rotation writes the key in force there first: one that a kill ended is in force still.
        self.retired = [one for one in retired if one.fingerprint != self.current.fingerprint]
        self._is_behind = False
        self.error = ""

    def began(self) -> None:
        """Take note that a chain begins with this key: it is not new any more. A file that cannot be removed is tried again."""
        if self.is_new:
            with contextlib.suppress(OSError):
                (self._folder / MADE_FILE).unlink(missing_ok=True)
                self.is_new = False

    def rotate(self) -> tuple[Key, Key]:
        """Return (key in force, the one to come), which is now on disk, and the first one among those that were in force.

        Sign and commit `key_rotated` with the first, then `adopt`. Raises StorageError: nothing has changed.
        """
        if not self.finish():  # the file of the next key still is the only copy of the one in force
            raise StorageError(f"the key before is not on disk yet: {self.error}")
        if self.next is None:
            made = Key.make(self._gateway)
            self._save_retired([*self.retired, self.current.known])
            _save(self._folder / NEXT_FILE, made)
            self.next = made
        return self.current, self.next

    def _save_retired(self, retired: list[PublicKey]) -> None:
        path = self._folder / RETIRED_FILE
        try:
            replace_file(path, orjson.dumps([one.body for one in retired]))
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error

    def adopt(self) -> None:
        """Put the key to come into force, whatever the disk says: it is announced. Of the old one only the public part stays."""
        if self.next is None:
            return
        self.retired = [*self.retired, self.current.known]
        self.current, self.next = self.next, None
        self._is_behind = True
        self.finish()

    def finish(self) -> bool:
        """Return whether the files say what is in force; try again to make them."""
        if not self._is_behind:
            return True
        path, following = self._folder / KEY_FILE, self._folder / NEXT_FILE
        try:
            if following.exists():
                following.replace(path)
                _sync(self._folder)
            else:  # moved by a try before, or taken away
                _save(path, self.current)
        except OSError as error:
            self.error = f"{path}: {error.strerror}"
        except StorageError as error:
            self.error = str(error)
        else:
            self._is_behind, self.error = False, ""
        return not self._is_behind

    def withdraw(self) -> None:
        """Forget the key to come: the event that announces it was not committed. Raises StorageError."""
        try:
            (self._folder / NEXT_FILE).unlink(missing_ok=True)
            _sync(self._folder)
        except OSError as error:
            raise StorageError(f"{self._folder / NEXT_FILE}: {error.strerror}") from error
        self.next = None

    def settle(self, kid: str, announced: Collection[str] = ()) -> None:
        """End a rotation that a kill interrupted. Raises StorageError.

        kid: of the key the committed chain goes on with. announced: kids its events name. If neither names the key to come and the
        chain goes on with the key in force, nobody was told: it goes. If the chain is gone nobody knows: it waits for the next rotation.
        """
        if self.next is None:
            return
        if any(self.next.known.is_named(one) for one in (kid, *announced)):
            self.adopt()
        elif self.current.known.is_named(kid):
            self.withdraw()


def load_key(path: Path, gateway: str) -> Key:
    """Return the private key of a file; reads only. Raises StorageError."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise StorageError(
            f"{path}: there is no key; the gateway makes it when its feed first starts"
        ) from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}; run it as the gateway's user or as root") from error
    try:
        private = serialization.load_pem_private_key(raw, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise StorageError(f"{path}: is no private key (PEM, PKCS #8); {MOVE_IT}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise StorageError(f"{path}: is no Ed25519 key; {MOVE_IT}")
    return Key.of(private, gateway)


def _save(path: Path, key: Key) -> None:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        replace_file(path, key.private.private_bytes(*form))
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def _load_retired(path: Path) -> list[PublicKey]:
    """Return the keys of a file, each under the name it had: the gateway's id may have been another one. Raises StorageError."""
    if not path.exists():
        return []
    try:
        return [_of_any_name(body) for body in orjson.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError, KeyRefused) as error:
        raise StorageError(f"{path}: cannot be read ({error})") from error


def _of_any_name(body: object) -> PublicKey:
    """Return the key a body stands for, of whatever gateway it was. Raises KeyRefused."""
    kid = body.get("kid") if isinstance(body, dict) else None
    return from_body(body, kid.rpartition("-")[0] if isinstance(kid, str) else "")


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _from_x(x: object) -> Ed25519PublicKey:
    try:
        raw = jws.decode(x.encode("ascii")) if isinstance(x, str) else b""
    except (UnicodeEncodeError, jws.Malformed) as error:
        raise KeyRefused("x is not base64url") from error
    if len(raw) != PUBLIC_BYTES:
        raise KeyRefused(f"x has {len(raw)} bytes instead of {PUBLIC_BYTES}")
    return Ed25519PublicKey.from_public_bytes(raw)


def from_body(body: object, gateway: str) -> PublicKey:
    """Return the key a gateway's message carries (`contract.Key`). Raises KeyRefused unless key, fingerprint and name fit."""
    if not isinstance(body, dict):
        raise KeyRefused("is no object")
    if body.get("alg", jws.ED25519) != jws.ED25519:
        raise KeyRefused(f"alg is {jws.brief(body['alg'])} instead of {jws.ED25519!r}")
    kid = body.get("kid")
    found = PublicKey.of(_from_x(body.get("x")), kid if isinstance(kid, str) else "")
    if body.get("fingerprint") != found.fingerprint:
        raise KeyRefused("the fingerprint is not that of the key")
    if found.kid != f"{gateway}-{found.fingerprint[:KID_HEX]}":
        raise KeyRefused("the kid is not that of the key and the gateway")
    return found


def load_public(text: bytes) -> list[PublicKey]:
    """Return the public keys of a file: PEM, a JWK, a JWK set, or what `metergate feed key --json` prints. Raises KeyRefused."""
    if not text.lstrip().startswith(b"{") and b"-----BEGIN" in text:
        try:
            public = serialization.load_pem_public_key(text)
        except (ValueError, UnsupportedAlgorithm) as error:
            hint = "; give the public key, never the private one" if b"PRIVATE" in text else ""
            raise KeyRefused(f"is no public key in PEM{hint}") from error
        if not isinstance(public, Ed25519PublicKey):
            raise KeyRefused("is no Ed25519 key")
        return [PublicKey.of(public)]
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise KeyRefused("is neither PEM nor JWK") from error
    if not isinstance(found, dict):
        raise KeyRefused("is neither PEM nor JWK")
    bodies = found["keys"] if isinstance(found.get("keys"), list) else [found.get("jwk", found)]
    if not bodies:
        raise KeyRefused("has no key")
    return [_from_jwk(body) for body in bodies]


def _from_jwk(body: Mapping[str, Any]) -> PublicKey:
    if not isinstance(body, dict) or "x" not in body:
        raise KeyRefused("is no JWK")
    if "d" in body:
        raise KeyRefused("holds the private key; give the public one alone")
    if body.get("kty", "OKP") != "OKP" or body.get("crv", "Ed25519") != "Ed25519":
        raise KeyRefused("is no Ed25519 key (kty OKP, crv Ed25519)")
    return PublicKey.of(_from_x(body["x"]), str(body.get("kid", "")))


def for_paper(fingerprint: str) -> str:
    """Return a fingerprint as it is read out and compared: groups of four."""
    return " ".join(fingerprint[at : at + 4] for at in range(0, len(fingerprint), 4))

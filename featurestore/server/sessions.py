"""Sign-in: an API key, typed once, becomes a session that a browser keeps as a cookie no script can read.

A session is a text that says whose it is and until when, signed with a secret that the workers of one server share and that
ends with it; the key itself is not in it. It allows no more than pages and look-ups, and is worth nothing once the key is
revoked: the key's digest is part of what is signed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Protocol

COOKIE = b"featurestore_session"
SECONDS = 12 * 3_600
SECRET = "FEATURESTORE_SESSION_SECRET"
"""A variable of the environment: a secret for several servers that stand for one. By default each makes its own."""
LEAST = 32
_SHAPE = re.compile(rb"([0-9a-f]{8})\.([0-9]{1,12})\.([0-9a-f]{64})")


def secret() -> bytes:
    """That of the environment if it is long enough to be one, else a new one."""
    given = os.environ.get(SECRET, "").encode()
    return given if len(given) >= LEAST else secrets.token_bytes(32)


class Whose(Protocol):
    """The key that a session is of."""

    @property
    def id(self) -> str: ...

    @property
    def digest(self) -> bytes: ...


@dataclass(frozen=True)
class Sessions:
    """Makes and reads sessions. secret: as of `secret()`."""

    secret: bytes = field(default_factory=secret, repr=False)

    def of(self, key: Whose) -> str:
        """A session that begins now."""
        until = b"%d" % (int(time.time()) + SECONDS)
        return b".".join((key.id.encode(), until, self._signature(key, until))).decode()

    def claimed(self, cookies: bytes) -> tuple[bytes, bytes, bytes] | None:
        """(key's id, until, signature) of the session among a request's cookies; nothing of it is proven yet."""
        for pair in cookies.split(b";"):
            name, _, value = pair.strip().partition(b"=")
            if name == COOKIE and (shape := _SHAPE.fullmatch(value)):
                return shape[1], shape[2], shape[3]
        return None

    def proven(self, claimed: tuple[bytes, bytes, bytes], key: Whose) -> bool:
        """Whether the claim is one of ours, of this very key, and not over."""
        _, until, signature = claimed
        return hmac.compare_digest(self._signature(key, until), signature) and int(until) > time.time()

    def _signature(self, key: Whose, until: bytes) -> bytes:
        said = b".".join((b"session 1", key.id.encode(), until, key.digest.hex().encode()))
        return hmac.new(self.secret, said, hashlib.sha256).hexdigest().encode()


def cookie(value: str, *, secure: bool) -> bytes:
    """The header's value that sets a session, or with "" takes it away."""
    age = SECONDS if value else 0
    extra = "; Secure" if secure else ""
    return f"{COOKIE.decode()}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{extra}".encode()


__all__ = ["COOKIE", "SECRET", "SECONDS", "Sessions", "cookie", "secret"]

"""API keys: who may ask what of a server, kept in one file as digests.

A key is 256 random bits, so a plain SHA-256 of it is safe to keep: nobody can guess what was hashed, and a slow hash, made
for passwords, would only slow every request. The file is TOML, read by servers and written by `featurestore keys`; a
server looks at it every second, and a file that cannot be read leaves the keys that were read last.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import logging
import os
import re
import secrets
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from featurestore.atomic import aside, commit, disk_errors, removed_on_error
from featurestore.errors import UsageError, nearest
from featurestore.intervals import format_instant
from featurestore.server.problems import Refused
from featurestore.server.sessions import Sessions
from featurestore.server.watched import Watched

log = logging.getLogger(__name__)

FORMAT = 1
SCOPES = ("lookup", "push")
"""lookup: ask for features. push: bring facts."""
PER_NAME = 2
"""Keys of one name at a time: the old and the new one, while a client changes over."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_SECRET = re.compile(rb"fsk_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_HEAD = f"""# API keys of the server, as digests. Written by `featurestore keys`; a running server takes notice by itself.
format = {FORMAT}
"""


@dataclass(frozen=True)
class Key:
    """Who asks. services: those it may ask for; empty: all. created: RFC 3339."""

    name: str
    id: str = ""
    digest: bytes = field(default=b"", repr=False)
    scopes: tuple[str, ...] = SCOPES
    services: tuple[str, ...] = ()
    created: str = ""

    def authorize(self, scope: str, service: str | None = None) -> None:
        """May this key do that, for that service? The one place that decides.

        Raises: Refused FS522 (403).
        """
        if scope not in self.scopes:
            raise _forbidden(f"the API key {self.name!r} has no scope {scope!r}", self.scopes)
        if service is not None and self.services and service not in self.services:
            raise _forbidden(f"the API key {self.name!r} may not ask for feature service {service!r}", self.services)

    def may_see(self, service: str) -> bool:
        return not self.services or service in self.services


ANYONE = Key("")
"""Who asks a server that has no keys: it listens on this machine only."""


class Access:
    """Who may ask. Without a file everyone may, and is ANYONE. For use by one thread.

    sessions: what browsers are signed in by.
    Raises: UsageError FS122 for a file that is missing or cannot be read at the start.
    """

    def __init__(self, path: Path | None = None, sessions: Sessions | None = None) -> None:
        self.sessions = sessions or Sessions()
        self._file = None if path is None else Watched(path, "API keys", lambda path: _by_id(read(path)))

    @property
    def restricted(self) -> bool:
        return self._file is not None

    def key(self, headers: Mapping[bytes, bytes]) -> Key:
        """Whose request these headers are of: `Authorization: Bearer …`, or `X-API-Key`, or without either a session's cookie.

        Raises: Refused FS521 (401).
        """
        if self._file is None:
            return ANYONE
        given = headers.get(b"x-api-key")
        authorization = headers.get(b"authorization")
        if authorization is not None:
            scheme, _, given = authorization.partition(b" ")
            if scheme.lower() != b"bearer":
                raise _unauthorized("Authorization must be a Bearer token")
            given = given.strip()
        if given is None:
            return self._signed_in(headers)
        return self.of_secret(given)

    def of_secret(self, given: bytes) -> Key:
        """Whose key this is. Raises: Refused FS521 (401)."""
        if self._file is None:
            return ANYONE
        shape = _SECRET.fullmatch(given)
        known = None if shape is None else self._file.value.get(shape[1])
        if known is None or not hmac.compare_digest(hashlib.sha256(given).digest(), known.digest):
            raise _unauthorized("the API key is not known")
        return known

    def _signed_in(self, headers: Mapping[bytes, bytes]) -> Key:
        """Whose session a browser has. Another site's page could send the cookie along from this machine, so that what it asks
        for is refused. Raises: Refused FS521 (401)."""
        assert self._file is not None
        claimed = self.sessions.claimed(headers.get(b"cookie", b""))
        known = None if claimed is None else self._file.value.get(claimed[0])
        proven = claimed is not None and known is not None and self.sessions.proven(claimed, known)
        if known is None or not proven or not from_here(headers):
            raise _unauthorized("this server asks for an API key", challenge=b'Bearer realm="featurestore"')
        return replace(known, scopes=tuple(scope for scope in known.scopes if scope == "lookup"))


def from_here(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser sends this from a page of ours, or because somebody goes there; others than browsers do not say."""
    site = headers.get(b"sec-fetch-site", b"same-origin")
    return site in (b"same-origin", b"none") or headers.get(b"sec-fetch-mode") == b"navigate"


def _by_id(keys: Iterable[Key]) -> Mapping[bytes, Key]:
    return {key.id.encode(): key for key in keys}


def _unauthorized(what: str, challenge: bytes = b'Bearer realm="featurestore", error="invalid_token"') -> Refused:
    headers = [(b"www-authenticate", challenge)]
    return Refused(HTTPStatus.UNAUTHORIZED, "FS521", what, hint="Authorization: Bearer …", headers=headers, closes=True)


def _forbidden(what: str, known: Sequence[str]) -> Refused:
    return Refused(HTTPStatus.FORBIDDEN, "FS522", what, known=known, hint="featurestore keys add")


# The file.


def read(path: Path) -> list[Key]:
    """The keys of a file. Raises: UsageError FS122."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
        if given["format"] > FORMAT:
            raise UsageError(
                "FS122", f"format {given['format']} is newer than {FORMAT}", where=path.name, hint="a newer featurestore"
            )
        return [_key(one) for one in given.get("key", [])]
    except FileNotFoundError:
        what = "there is no file of API keys"
        raise UsageError("FS122", what, where=path.name, hint="featurestore keys add NAME") from None
    except OSError as error:
        raise UsageError("FS122", f"cannot be read: {error.strerror}", where=path.name) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"is no file of API keys: {error if isinstance(error, ValueError) else type(error).__name__}"
        raise UsageError("FS122", what, where=path.name, hint="featurestore keys, which writes it") from None


def _key(given: Mapping[str, Any]) -> Key:
    """Raises: ValueError, KeyError, TypeError for what is none."""
    unknown = set(given) - {"id", "name", "sha256", "scopes", "services", "created"}
    if unknown:
        raise ValueError(f"unknown member {min(unknown)!r}")
    digest = bytes.fromhex(given["sha256"])
    if len(digest) != 32 or not re.fullmatch("[0-9a-f]{8}", given["id"]) or not _NAME.fullmatch(given["name"]):
        raise ValueError(f"key {given['id']!r} is none")
    for members in (given["scopes"], given["services"]):
        if not isinstance(members, list) or not all(isinstance(m, str) for m in members):
            raise ValueError(f"key {given['id']!r}: scopes and services are lists of text")
    if not set(given["scopes"]) <= set(SCOPES):
        raise ValueError(f"key {given['id']!r} has a scope that does not exist")
    return Key(given["name"], given["id"], digest, tuple(given["scopes"]), tuple(given["services"]), str(given["created"]))


def add(path: Path, name: str, *, scopes: Sequence[str] = ("lookup",), services: Sequence[str] = ()) -> tuple[str, Key]:
    """Make a key and add it to the file, which comes to be if need be.

    Returns: the secret, which is kept nowhere, and the key. Raises: UsageError FS123, FS122, StoreError FS405, FS407.
    """
    if not _NAME.fullmatch(name):
        raise UsageError("FS123", f"{name!r} is no name of a key", hint="letters, digits, . _ and -, at most 63")
    for scope in scopes:
        if scope not in SCOPES:
            raise UsageError("FS123", f"unknown scope {scope!r}", known=SCOPES, hint=nearest(scope, SCOPES))
    for service in services:
        if not re.fullmatch("[a-z][a-z0-9_]{0,62}", service):
            raise UsageError("FS123", f"{service!r} is no name of a feature service")
    with _changing(path) as keys:
        same = [key.id for key in keys if key.name == name]
        if len(same) >= PER_NAME:
            what = f"{name!r} has {PER_NAME} keys, the most at a time"
            raise UsageError("FS123", what, known=same, hint=f"featurestore keys revoke {same[0]}")
        taken = {key.id for key in keys}
        identity = next(i for i in iter(lambda: secrets.token_hex(4), None) if i not in taken)
        secret = f"fsk_{identity}_{secrets.token_urlsafe(32)}"
        digest = hashlib.sha256(secret.encode()).digest()
        created = format_instant(time.time_ns() // 1_000_000_000 * 1_000_000)
        made = Key(name, identity, digest, tuple(dict.fromkeys(scopes)), tuple(dict.fromkeys(services)), created)
        keys.append(made)
    return secret, made


def revoke(path: Path, which: str) -> Key:
    """Take a key out of the file: by its id, or by its name if that has one key only.

    Raises: UsageError FS123 for one that is not there or not the only one, FS122, StoreError FS405, FS407.
    """
    with _changing(path, missing_ok=False) as keys:
        found = [key for key in keys if which in (key.id, key.name)]
        if len(found) > 1:
            what = f"{which!r} has {len(found)} keys: say which by its id"
            raise UsageError("FS123", what, known=[f"{k.id} of {k.created}" for k in found], hint=found[0].id)
        if not found:
            known = [name for key in keys for name in (key.name, key.id)]
            raise UsageError("FS123", f"no API key {which!r}", known=dict.fromkeys(known), hint=nearest(which, known))
        keys.remove(found[0])
    return found[0]


@contextmanager
def _changing(path: Path, *, missing_ok: bool = True) -> Iterator[list[Key]]:
    """The file's keys, to be changed in place and written back whole. One process at a time."""
    with disk_errors(path):
        folder = os.open(path.parent, os.O_RDONLY)  # locked instead of the file, which is another after each write
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        keys = [] if missing_ok and not path.exists() else read(path)
        yield keys
        _write(path, keys)
    finally:
        os.close(folder)


def _write(path: Path, keys: Iterable[Key]) -> None:
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    written = aside(path)
    with disk_errors(path), removed_on_error(written):
        handle = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with open(handle, "w", encoding="utf-8") as file:
            file.write("\n".join([_HEAD, *map(_toml, keys)]))
        os.chmod(written, mode)
        commit(written, path)


def _toml(key: Key) -> str:
    """No value holds what would have to be escaped."""
    return (
        f'[[key]]\nid = "{key.id}"\nname = "{key.name}"\nsha256 = "{key.digest.hex()}"\n'
        f'scopes = {_listed(key.scopes)}\nservices = {_listed(key.services)}\ncreated = "{key.created}"\n'
    )


def _listed(names: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


__all__ = ["ANYONE", "PER_NAME", "SCOPES", "Access", "Key", "add", "from_here", "read", "revoke"]

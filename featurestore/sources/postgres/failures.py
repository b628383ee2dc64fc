"""What the driver and the server say when something fails, in our words and without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from featurestore.errors import FeatureStoreError, SourceError, StoreError
from featurestore.sources.postgres.address import Address

REFUSED = " in column "
"""Stands in what the server is made to say of a value that cannot be (`columns`)."""
_SAID = re.compile(r"[A-ZÄÖÜÉ]{4,}:  (.*)")
_STATE = re.compile(r"SQLSTATE: ([0-9A-Z]{5})")
_VALUE = re.compile(rf'["„“«] ?([^"„“«]*{REFUSED}.*?) ?["“”»]?$')
_CREDENTIALS = ("authentication", "no password supplied", "no pg_hba.conf entry", "role ", "certificate")
_CONNINFO = (
    "invalid URI", "invalid percent", "invalid connection option", "invalid port", 'missing "="', "service file",
    "definition of service", "unterminated quoted", "end of string", "unexpected character", "unexpected spaces",
)  # fmt: skip


@contextmanager
def connecting(address: Address, where: str) -> Iterator[None]:
    """Raises: StoreError FS475, FS476 for what keeps a connection from being made."""
    try:
        yield
    except OSError as error:
        raise _not_connected(address.scrubbed(str(error)), where) from None
    except Exception as error:
        if not _is_drivers(error):
            raise
        raise _not_connected(address.scrubbed(str(error)), where) from None


def _not_connected(text: str, where: str) -> StoreError:
    said = text.split("Failed to connect: ")[-1].splitlines()[0] if text else ""
    if any(sign in said for sign in _CONNINFO):  # its own words repeat parts of what was given
        what = "what says where the database is cannot be read: it is no url of PostgreSQL"
        return StoreError("FS476", what, where=where, hint="postgresql://user:…@host:5432/database, its signs percent-encoded")
    if any(sign in said for sign in _CREDENTIALS):
        hint = 'PGPASSWORD, a password file, or url="$NAME"'
        return StoreError("FS476", f"the database does not let us in: {said}", where=where, hint=hint)
    return StoreError("FS475", f"the database cannot be reached: {said}", where=where, hint="is it running, and url= right?")


@contextmanager
def asking(address: Address, what: str, where: str) -> Iterator[None]:
    """what: is read, as people say it. Raises: SourceError FS376, FS378, StoreError FS477."""
    try:
        yield
    except FeatureStoreError:
        raise
    except Exception as error:
        if not isinstance(error, OSError | pa.ArrowException) and not _is_drivers(error):
            raise
        raise _failed(address.scrubbed(str(error)), getattr(error, "sqlstate", None), what, where) from None


def _is_drivers(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] == "adbc_driver_manager"


def _failed(text: str, state: str | None, what: str, where: str) -> FeatureStoreError:
    """Of what comes while rows are read no SQLSTATE is told."""
    found = _STATE.search(text)
    state = state or (found[1] if found else "")
    server = _SAID.search(text)
    said = (server[1] if server else text.splitlines()[0]).strip()
    value = _VALUE.search(said)
    if value or state.startswith("22"):
        said, hint = value[1] if value else said, "cast it or leave it out in a view, or by query="
        return SourceError("FS378", f"{what} holds a value that cannot be read: {said}", where=where, hint=hint)
    if state.startswith(("42", "3F", "0A", "26")):
        hint = "the names as the database has them, and SELECT granted to the user"
        return SourceError("FS376", f"{what} cannot be read: {said}", where=where, hint=hint)
    return StoreError("FS477", f"the database ended the reading of {what}: {said}", where=where, hint="run again")

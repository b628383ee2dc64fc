"""Every error a user can meet: one tree, one line format, one code each.

    FeatureStoreError
    ├── UsageError          exit 2   a name, flag or argument typed wrong
    │   ├── UnknownName             … a service, view, column or key nobody defined        (HTTP 404 or 422)
    │   └── RequestError            … an online request of the wrong shape                 (HTTP 422)
    │       └── TooEarly            … as_of before a watermark                             (HTTP 409)
    ├── DefinitionError     exit 3   a definition in registry/ that cannot mean anything
    ├── DataError           exit 4   content of a source or a spine, or a missing file
    │   ├── SpineError
    │   ├── SourceError
    │   └── PushError               … rows that were pushed and cannot be taken             (HTTP 422)
    └── StoreError          exit 5   disk, lock, online store                               (HTTP 503)
        ├── StoreLocked
        ├── StoreUnavailable        … the store cannot be asked now; look-ups say `unavailable`
        └── StoreFormat

The class decides the exit code and the HTTP status; the code (`FSnnn`) decides the page in docs/reference/errors.md,
which is generated from `featurestore.error_codes`. An error says what, where, what is known, and what to try.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar

NOT_THERE = frozenset({"FS321", "FS367", "FS475", "FS476", "FS480", "FS481", "FS482", "FS483"})
"""Codes of a source's files, table or database that is not there, or that nothing here reaches. Where definitions are reviewed
that is no wonder: the types that were committed must do."""


class FeatureStoreError(Exception):
    """Base of everything the package raises on purpose.

    Attributes: code ("FS203"), what (a sentence), where (file and line, file and row, or ""), known (the names that
    would have been accepted), hint (what to try, or "").
    """

    exit_code: ClassVar[int] = 5
    http_status: ClassVar[int] = 500

    def __init__(self, code: str, what: str, *, where: str = "", known: Iterable[str] = (), hint: str = "") -> None:
        self.code = code
        self.what = what
        self.where = where
        self.known = tuple(known)
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        parts = [f"{self.code} {self.what}"]
        if self.where:
            parts.append(f"in {self.where}")
        if self.known:
            parts.append(f"known: {shorten(self.known)}")
        if self.hint:
            parts.append(f"try {self.hint}")
        return " · ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """The error as `--json` and HTTP problem documents carry it: code, what, where, known, try."""
        return {
            "code": self.code,
            "what": self.what,
            "where": self.where,
            "known": list(self.known),
            "try": self.hint,
        }

    def at(self, where: str) -> FeatureStoreError:
        """The same error, placed at `where` unless it already has a place."""
        if not self.where:
            self.where = where
        return self


class UsageError(FeatureStoreError):
    exit_code = 2
    http_status = 422


class UnknownName(UsageError):
    http_status = 404


class RequestError(UsageError):
    http_status = 422


class TooEarly(RequestError):
    http_status = 409


class DefinitionError(FeatureStoreError):
    exit_code = 3


class DataError(FeatureStoreError):
    exit_code = 4


class SpineError(DataError):
    pass


class SourceError(DataError):
    pass


class PushError(DataError):
    http_status = 422


class StoreError(FeatureStoreError):
    exit_code = 5
    http_status = 503


class StoreLocked(StoreError):
    pass


class StoreUnavailable(StoreError):
    pass


class StoreFormat(StoreError):
    pass


def shorten(names: Iterable[str], limit: int = 12) -> str:
    """Names joined for a message, cut after `limit` so that one typo does not print a catalogue."""
    names = list(names)
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown}, … ({len(names)} in all)"


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name a typo most likely meant, or "" when none is near."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else ""

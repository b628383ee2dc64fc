"""Spark's errors in our words, and ours carried from an executor to the driver."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from featurestore import errors as tree
from featurestore.atomic import DISK_FULL
from featurestore.errors import DataError, FeatureStoreError, SourceError, StoreError


@dataclass(frozen=True)
class Told:
    """What a call on an executor came to: its result, or the error of ours that it raised."""

    result: Any = None
    kind: str = ""
    error: dict[str, Any] | None = None

    @classmethod
    def of(cls, function: Callable[[int], Any], number: int) -> Told:
        try:
            return cls(function(number))
        except FeatureStoreError as error:
            return cls(kind=type(error).__name__, error=error.to_dict())
        except OSError as error:
            if error.errno in DISK_FULL:
                full = StoreError("FS405", f"the disk is full: {error}", hint="free space, or another work folder")
                return cls(kind="StoreError", error=full.to_dict())
            raise

    def document(self) -> dict[str, Any]:
        return asdict(self)


def raised(told: Told) -> None:
    """Raise what a call raised on its executor."""
    if told.error is not None:
        kind: type[FeatureStoreError] = getattr(tree, told.kind)
        e = told.error
        raise kind(e["code"], e["what"], where=e["where"], known=e["known"], hint=e["try"])


@contextmanager
def errors(where: str = "") -> Iterator[None]:
    """Spark's errors in our words: what was wrong with the data, or with the cluster."""
    try:
        yield
    except (FeatureStoreError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise translated(error, where) from error


_GONE = ("connection refused", "statuscode.unavailable", "sparkcontext was shut down", "stopped sparkcontext",
         "error while obtaining a new communication channel", "answer from java side is empty", "session_closed",
         "all masters are unresponsive", "failed to connect")  # fmt: skip
_UNREADABLE = ("failed_read_file", "filenotfoundexception", "cannot_read_file", "is not a parquet file",
               "could not read footer", "path_not_found", "parquetdecodingexception", "corrupt", "file_not_exist")  # fmt: skip


_OURS = re.compile(
    r"featurestore\.errors\.(?P<kind>\w+): (?P<code>FS\d{3}) (?P<what>[^\n·]*?)"
    r"(?: · in (?P<where>[^\n·]*?))?(?: · known: [^\n·]*?)?(?: · try (?P<hint>[^\n]*?))?$",
    re.MULTILINE,
)
"""An error of ours, as it is told from an executor."""


def translated(error: BaseException, where: str = "") -> FeatureStoreError:
    text = str(error)
    low, first = text.lower(), _told(text) or type(error).__name__
    if ours := _OURS.search(text):
        kind: type[FeatureStoreError] = getattr(tree, ours["kind"], DataError)
        return kind(ours["code"], ours["what"], where=ours["where"] or where, hint=ours["hint"] or "")
    if any(sign in low for sign in _GONE):
        return StoreError("FS463", f"Spark is gone: {first}", where=where, hint="look into its log, and run again")
    if "no space left" in low:
        return StoreError("FS405", f"the disk is full: {first}", where=where, hint="free space, or another spark.local.dir")
    if "outofmemoryerror" in low or "memoryerror" in low:
        return StoreError(
            "FS409", f"memory limit reached: {first}", where=where, hint="more memory for executors, in [spark] conf"
        )
    if "no module named 'featurestore" in low:
        what = "featurestore is not installed where Spark's executors run Python"
        return StoreError("FS464", what, hint="install it there, or spark.pyspark.python")
    if any(sign in low for sign in _UNREADABLE):
        return SourceError(
            "FS325", f"a source cannot be read: {first}", where=where or _file(text), hint="write the file again"
        )
    return DataError("FS306", f"the engine failed: {first}", where=where)


def _told(text: str) -> str:
    """The line that says what happened: the innermost cause that is told, else the first line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    python = [line for line in lines if re.match(r"[A-Za-z_.]+(Error|Exception): ", line)]
    return (causes or python or lines or [""])[-1 if causes or python else 0][:300]


def _file(text: str) -> str:
    found = re.search(r"file:[^\s'\")]+\.parquet", text)
    return found[0].rsplit("/", 1)[-1] if found else ""

"""Sources that are tables with a history: Delta and Iceberg.

A table has versions (Delta) or snapshots (Iceberg). Which one is read is chosen when a build or run begins and recorded in what
it makes; it is part of the state of the source, so it does not bear on what a definition means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from featurestore.definitions.source import Source, check_url, is_url
from featurestore.errors import DefinitionError
from featurestore.intervals import parse_instant

_MOST = 2**63
_TABLE = re.compile(r"[^.\s]+(\.[^.\s]+)+")


@dataclass(frozen=True, kw_only=True, repr=False)
class DeltaSource(Source):
    """A Delta table, read at one version. Needs the extra `delta`. See `Source` for the other options.

    Args:
        path: the folder of the table, the one that holds `_delta_log`: relative to the project folder, or a URL
            ("s3://bucket/payments"). Credentials come from the environment.
        version: read this version. as_of: read the version that was the newest at this instant (with offset). With neither, the
            newest when a build or run begins.
    Raises: DefinitionError FS202 (not a path, version or instant; credentials in the path), FS204 (both version and as_of).
    """

    path: str = ""
    version: int | None = None
    as_of: Any = None

    def _check(self) -> None:
        if not self.path.strip():
            raise DefinitionError(
                "FS202", f"path={self.path!r} is not a path", hint="path='data/payments', 's3://bucket/payments'"
            )
        if is_url(self.path):
            check_url(self.path)
        _check_number("version", self.version)
        self._set("as_of", _instant(self.as_of, "version", self.version))
        super()._check()


@dataclass(frozen=True, kw_only=True, repr=False)
class IcebergSource(Source):
    """An Iceberg table, read at one snapshot. Needs the extra `iceberg`. See `Source` for the other options.

    Args:
        table: its name with the namespace, "db.payments".
        catalog: the catalog that knows it, as pyiceberg is told of it: by PYICEBERG_CATALOG__DEFAULT__URI and its like in the
            environment, or by .pyiceberg.yaml.
        snapshot: read the snapshot of this id. as_of: read the snapshot that was current at this instant (with offset). With
            neither, the current one when a build or run begins.
    Raises: DefinitionError FS202 (not a table name, catalog, snapshot or instant), FS204 (both snapshot and as_of).
    """

    table: str = ""
    catalog: str = "default"
    snapshot: int | None = None
    as_of: Any = None

    def _check(self) -> None:
        if not _TABLE.fullmatch(self.table):
            raise DefinitionError("FS202", f"table={self.table!r} is no table in a namespace", hint="table='db.payments'")
        if not self.catalog.strip():
            raise DefinitionError("FS202", f"catalog={self.catalog!r} is not a name", hint="catalog='default'")
        _check_number("snapshot", self.snapshot)
        self._set("as_of", _instant(self.as_of, "snapshot", self.snapshot))
        super()._check()


def _check_number(option: str, value: object) -> None:
    if value is not None and not (type(value) is int and 0 <= value < _MOST):
        raise DefinitionError("FS202", f"{option}={value!r} is not a {option}", hint=f"a whole number, or no {option}=")


def _instant(value: Any, other: str, given: object) -> int | None:
    """Microseconds. Raises: DefinitionError FS202, FS204."""
    if value is None:
        return None
    if given is not None:
        raise DefinitionError("FS204", f"{other} and as_of both say what of the table is read", hint="one of them")
    try:
        return parse_instant(value, what="as_of")
    except Exception as error:
        raise DefinitionError("FS202", f"as_of: {error}", hint="'2026-01-01T00:00:00Z'") from None

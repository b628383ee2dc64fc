"""The metadata of an Iceberg table, as pyiceberg reads it: one snapshot, and why it cannot be had.

Where the catalog is and what opens it pyiceberg is told by its own configuration, which is read again each time and never kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from featurestore.errors import FeatureStoreError, SourceError, StoreError
from featurestore.intervals import format_instant
from featurestore.sources.extras import imported
from featurestore.sources.without_secrets import plain

READ = (1, 2)
"""Format versions that are read."""
_OF_S3 = {"s3.endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), "s3.region": ("AWS_REGION", "AWS_DEFAULT_REGION")}
_FSSPEC = {"access-key-id": "key", "secret-access-key": "secret", "session-token": "token", "endpoint": "endpoint_url"}
_SNAPSHOTS = "a snapshot that the table's history lists"


def library(module: str) -> Any:
    """A module of pyiceberg. Raises: StoreError FS480."""
    return imported(f"pyiceberg.{module}", extra="iceberg", what="an Iceberg source")


def loaded(table: str, catalog: str, where: str, *, writing: bool = False) -> Any:
    """The table as its catalog knows it now. writing: a catalog that holds nothing yet is made ready.

    Raises: StoreError FS480, FS481; SourceError FS367, FS368, FS370.
    """
    exceptions = library("exceptions")
    name, told = f"{catalog}.{table}", configured(catalog)
    with _in_our_words(name, told, where):
        opened = _catalog(catalog, told, writing=writing)
        try:
            found = opened.load_table(table)
        except (exceptions.NoSuchTableError, exceptions.NoSuchNamespaceError):
            raise _no_table(opened, table, name, where) from None
    if found.format_version not in READ:
        raise unsupported(f"is of format version {found.format_version}", name, where)
    return found


def beginning(table: str, catalog: str, schema: Any, partition_by: Sequence[str]) -> Any:
    """A transaction that makes a table with the columns of an Arrow schema, partitioned by the values of some. Raises: whatever
    its catalog does."""
    identity, opened = library("transforms").IdentityTransform, _catalog(catalog, configured(catalog), writing=True)
    opened.create_namespace_if_not_exists(table.rpartition(".")[0])
    transaction = opened.create_table_transaction(table, schema=schema)
    with transaction.update_spec() as update:
        for column in partition_by:
            update.add_field(column, identity(), column)
    return transaction


def configured(catalog: str) -> dict[str, Any]:
    """What pyiceberg is told of a catalog, by the environment and .pyiceberg.yaml as they are now. Where S3 is it does not take
    from the variables that all others do."""
    told = {name: value for name, variables in _OF_S3.items() if (value := _first(variables))}
    return {**told, **dict(library("utils.config").Config().get_catalog_config(catalog) or {})}


def _first(variables: Sequence[str]) -> str:
    return next((value for name in variables if (value := os.environ.get(name))), "")


def reach(table: Any) -> dict[str, Any]:
    """How the table's files are reached in S3, if its catalog says so: as fsspec is told it."""
    told = table.io.properties
    found = {option: told[f"s3.{name}"] for name, option in _FSSPEC.items() if told.get(f"s3.{name}")}
    return {**found, "client_kwargs": {"region_name": told["s3.region"]}} if told.get("s3.region") else found


def _catalog(name: str, told: Mapping[str, Any], *, writing: bool) -> Any:
    """The catalog. Reading must not make one: a database without tables is not given any."""
    quiet = {} if writing else {"init_catalog_tables": "false"}
    return library("catalog").load_catalog(name, **{**quiet, **told})


def _no_table(catalog: Any, table: str, name: str, where: str) -> SourceError:
    try:
        known = [".".join(one) for one in catalog.list_tables(table.rpartition(".")[0])]
    except Exception:  # there is no such namespace
        known = []
    return SourceError("FS367", f"there is no Iceberg table {name}", where=where, known=known, hint="table='db.payments'")


@contextmanager
def _in_our_words(name: str, told: Mapping[str, Any], where: str) -> Iterator[None]:
    """What catalogs and their libraries raise, which may be anything. Raises: SourceError FS368, StoreError FS481."""
    try:
        yield
    except FeatureStoreError:
        raise
    except Exception as error:
        if isinstance(error, FileNotFoundError) or "ValidationError" in {kind.__name__ for kind in type(error).__mro__}:
            raise _broken(name, plain(error, told), where) from None
        what = f"the catalog of Iceberg table {name} cannot be asked: {plain(error, told)}"
        hint = "PYICEBERG_CATALOG__<NAME>__URI and its like, or .pyiceberg.yaml"
        raise StoreError("FS481", what, where=where, hint=hint) from None


def _broken(name: str, reason: str, where: str) -> SourceError:
    what = f"the metadata of Iceberg table {name} cannot be read: {reason}"
    return SourceError("FS368", what, where=where, hint="restore the files of its metadata folder")


def unsupported(says: str, name: str, where: str) -> SourceError:
    hint = "rewrite the table without it, by the engine that writes it, or read an export of it"
    return SourceError("FS370", f"Iceberg table {name} {says}, which is not read", where=where, hint=hint)


def snapshot_of(table: Any, wanted: int | None, name: str, where: str) -> Any:
    """A snapshot by its id. Raises: SourceError FS369."""
    found = table.snapshot_by_id(wanted)
    if found is None:
        raise SourceError("FS369", f"Iceberg table {name} has no snapshot {wanted}", where=where, hint=_SNAPSHOTS)
    return found


def snapshot_at(table: Any, at: int, name: str, where: str) -> Any:
    """The snapshot that was current at an instant. Raises: SourceError FS369 before the first, or for one that has expired."""
    found = table.snapshot_as_of_timestamp(at // 1_000)
    if found is None:
        what = f"Iceberg table {name} has no snapshot as early as {format_instant(at)}"
        raise SourceError("FS369", what, where=where, hint=_SNAPSHOTS)
    return found


@contextmanager
def reading(name: str, catalog: str, where: str) -> Iterator[None]:
    """While the lists of files are read. Raises: SourceError FS368, StoreError FS481."""
    try:
        yield
    except FeatureStoreError:
        raise
    except Exception as error:
        reason = plain(error, configured(catalog))
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            what = f"the metadata of Iceberg table {name} cannot be reached: {reason}"
            raise StoreError("FS481", what, where=where, hint="the settings of its object store") from None
        raise _broken(name, reason, where) from None

"""How what is read and written is named in OpenLineage: a namespace (where) and a name (what), as its naming rules say.

No name holds a secret: of a url only host, port and database are told. Nothing is opened or asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from featurestore.config import Config
from featurestore.definitions import Source

_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Dataset:
    namespace: str
    name: str


def of_source(source: Source, base: Path, namespace: str) -> tuple[Dataset, ...]:
    """What a source reads; several where it names several. base: the project. namespace: of what has no place of its own."""
    named = _NAMED.get(type(source).__name__)
    return (Dataset(namespace, source.name),) if named is None else named(source, base)


def of_path(path: str | Path, base: Path) -> Dataset:
    """A file or folder, here or in an object store; of a pattern the folder below which all lies that it can match."""
    text = str(path)
    wild = _WILD.search(text)
    if wild is not None:
        text = text[: text.rfind("/", 0, wild.start()) + 1]
    scheme, split, rest = text.partition("://")
    if split and scheme != "file":
        bucket, _, key = rest.rpartition("@")[2].partition("/")
        return Dataset(f"{scheme}://{bucket}", key.strip("/") or "/")
    return Dataset("file", os.path.abspath(base / (rest if split else text or ".")))


def of_view(view: str, config: Config, root: Path | None) -> Dataset:
    """What the online store holds of a view."""
    online = config.online
    if root is None or online.store == "memory":
        return Dataset(config.project.name, f"online/{view}")
    if online.store == "redis":
        url = urlsplit(online.url)
        where = url.path if url.scheme == "unix" else f"{url.hostname}:{url.port or 6379}"
        return Dataset(f"redis://{where}", f"{config.project.name}/{view}")
    return Dataset("file", os.path.abspath(root / online.path / view))


def _paths(source: Any, base: Path) -> tuple[Dataset, ...]:
    paths = (source.path,) if isinstance(source.path, str) else source.path
    return tuple(dict.fromkeys(of_path(path, base) for path in paths))


def _iceberg(source: Any, base: Path) -> tuple[Dataset, ...]:
    return (Dataset(f"iceberg://{source.catalog}", source.table),)


def _postgres(source: Any, base: Path) -> tuple[Dataset, ...]:
    """host:port and database as libpq finds them: in the url, then in the environment."""
    url = os.environ.get(source.url[1:], "") if source.url.startswith("$") else source.url
    parts, env = urlsplit(url), os.environ
    host, port = parts.hostname or env.get("PGHOST") or "localhost", parts.port or env.get("PGPORT") or 5432
    database = parts.path.strip("/") or env.get("PGDATABASE") or parts.username or env.get("PGUSER") or "postgres"
    table = (source.name,) if source.table is None else tuple(source.table)
    schema = () if source.table is None or len(table) > 1 else ("public",)
    return (Dataset(f"postgres://{host}:{port}", ".".join((database, *schema, *table))),)


_NAMED: Mapping[str, Callable[[Any, Path], tuple[Dataset, ...]]] = {
    "ParquetSource": _paths,
    "DeltaSource": _paths,
    "IcebergSource": _iceberg,
    "PostgresSource": _postgres,
}
"""By kind of source; a table from memory has no place."""

"""Cut relations by key: a partition holds some spine rows and all that may decide their answers.

A fact belongs where its key's spine rows are. A version may have another key than the one it replaces, so all versions
of a row key go wherever one of them belongs.
"""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.compiler.duckdb.facts import key_names, relation
from featurestore.compiler.duckdb.scalars import canonical, quoted
from featurestore.compiler.duckdb.types import key_type
from featurestore.plan.nodes import Part, PlanKey, ReadSource, StaticLookup, chain_of

PARTITION = "__partition"
MOVED = "moved_versions"
_OWN = "own_partition"


def source_keys(part: Part) -> tuple[PlanKey, ...]:
    """The join keys of a part's facts; without any it cannot be cut."""
    return part.keys if isinstance(part, StaticLookup) else chain_of(part.facts)[0].keys


def cut_spine(part: Part, partitions: int) -> str:
    """The spine's rows, each with its partition."""
    return f"SELECT *, {_partition(key_names(part.spine.keys), partitions)} AS {PARTITION}\nFROM spine"


def cut_source(part: Part, columns: Sequence[str], partitions: int) -> str:
    """Some columns of a source's rows, each with its partition; rows of row keys in MOVED once for each of theirs."""
    row_keys = _row_keys(part)
    if not row_keys:
        return f"SELECT {_listed(columns)}, {_own(part, partitions)} AS {PARTITION}\nFROM {_relation(part)}"
    same = " AND ".join(f"m.{name} = {sql}" for name, sql in row_keys.items())
    return (
        f"SELECT {_listed(columns)}, coalesce(m.{PARTITION}, {_own(part, partitions)}) AS {PARTITION}\n"
        f"FROM {_relation(part)} LEFT JOIN {MOVED} AS m ON {same}"
    )


def moved_versions(part: Part, partitions: int) -> str | None:
    """The row keys whose versions belong to several partitions, once with each; None where rows are no versions."""
    row_keys = _row_keys(part)
    if not row_keys:
        return None
    named = ", ".join(f"{sql} AS {name}" for name, sql in row_keys.items())
    names = ", ".join(row_keys)
    return (
        f"WITH rows_read AS (\n  SELECT {named}, {_own(part, partitions)} AS {_OWN}\n  FROM {_relation(part)}\n)\n"
        f"SELECT {names}, unnest(belonging) AS {PARTITION}\n"
        f"FROM (SELECT {names}, list(DISTINCT {_OWN}) AS belonging FROM rows_read GROUP BY {names} "
        f"HAVING min({_OWN}) <> max({_OWN}))"
    )


def copied(select: str, folder: str) -> str:
    """The statement that writes the rows of a cut into a folder: a folder of files per partition that has some.

    Neither packed nor indexed: they are read once or twice and then gone.
    """
    options = "COMPRESSION uncompressed, DICTIONARY_SIZE_LIMIT 1, WRITE_BLOOM_FILTER false"
    place = folder.replace("'", "''")
    return f"COPY (\n{select}\n) TO '{place}'\n(FORMAT parquet, PARTITION_BY ({PARTITION}), {options})"


def spine_types(part: Part) -> dict[str, str]:
    """The columns of the relation `spine` of a part that has join keys, and their types."""
    keys = {f"key_{key.name}": key_type(key.dtype) for key in part.spine.keys}
    return {"row_id": "BIGINT", "asked_at": "BIGINT", **keys}


def rows_of(part: Part) -> ReadSource:
    """What a part reads of its source."""
    return part.rows if isinstance(part, StaticLookup) else chain_of(part.facts)[0].rows


def _relation(part: Part) -> str:
    return relation(rows_of(part).source)


def _own(part: Part, partitions: int) -> str:
    """Where a row of the source belongs by its own key, in the type in which the spine's key is compared."""
    keys = [f"CAST({quoted(k.source_column)} AS {key_type(k.dtype)})" for k in source_keys(part)]
    return _partition(keys, partitions)


def _partition(keys: Sequence[str], partitions: int) -> str:
    return f"CAST(hash({', '.join(keys)}) % {partitions} AS INTEGER)"


def _row_keys(part: Part) -> dict[str, str]:
    """Name -> SQL of the columns that tell facts of a versioned source apart."""
    versions = None if isinstance(part, StaticLookup) else chain_of(part.facts)[1]
    if versions is None:
        return {}
    rows = versions.facts.rows
    types = {c.name: c.dtype for c in rows.columns}
    return {quoted(f"row_{c}"): canonical(quoted(c), types[c]) for c in versions.row_key}


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(map(quoted, columns)) or "1"

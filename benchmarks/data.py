"""Generated data: what each case reads. The same bytes of meaning on every machine, made once and kept.

Every draw is a hash of (row, what is drawn), so rows do not depend on threads or on order. A folder is complete when its
mark stands; the mark names the recipe, so a changed recipe or size is generated anew.
"""

from __future__ import annotations

import hashlib
import inspect
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb

FIRST = "TIMESTAMPTZ '2024-01-01 00:00:00+00'"
SECONDS = 365 * 86_400
VALUES = ("v1", "v2", "v3", "v4", "v5")
"""Two doubles, an integer, a text of 5,000 different ones, a boolean; v1 is NULL in 2% of rows."""


@dataclass(frozen=True)
class Sizes:
    """How much a case reads: rows of the source, keys in it, rows of the spine."""

    rows: int
    keys: int
    spine: int
    files: int = 4

    def scaled(self, scale: float) -> Sizes:
        """So much of it all; facts per key stay what they are while there are keys to leave out."""
        rows, keys, spine = (max(round(n * scale), 1) for n in (self.rows, self.keys, self.spine))
        return Sizes(rows, keys, spine, self.files)


def events(folder: Path, sizes: Sizes) -> None:
    """Facts with an event time `e` and a created time `k`: 90% known within a minute, 10% up to three days late.

    One fact in a hundred has a twin of the same key and event time, with other values.
    """
    once = sizes.rows * 100 // 101
    twin = """
        SELECT key, e, CASE WHEN v5 THEN k ELSE k + INTERVAL 1 HOUR END AS k, v2 AS v1, v1 AS v2, v3 + 1 AS v3, v4, NOT v5 AS v5
        FROM facts WHERE id % 100 = 0"""
    _copy_files(folder, sizes, once, f"SELECT key, e, k, {', '.join(VALUES)} FROM facts UNION ALL {twin}")


def events_of_a_busy_key(folder: Path, sizes: Sizes) -> None:
    """The same, but that a fifth of all facts and rows are of one key."""
    _copy_files(folder, sizes, sizes.rows, f"SELECT key, e, k, {', '.join(VALUES)} FROM facts", BUSY)


def versions(folder: Path, sizes: Sizes) -> None:
    """Facts with a row key; 5% have a second version up to ten days later, one in ten of those a third.

    Of the second versions a third is a delete, a third moves to another key, a third to another event time; all
    change values.
    """
    once = sizes.rows * 1000 // 1055
    second = f"""
        SELECT id, CASE WHEN id % 60 = 20 THEN (key + 1) % {sizes.keys} ELSE key END AS key,
               CASE WHEN id % 60 = 40 THEN e + INTERVAL 1 DAY ELSE e END AS e,
               k + to_seconds(CAST(v2 * 864000 AS BIGINT)) AS k, id % 60 = 0 AS deleted, v2 AS v1, v2, v3, v4, v5
        FROM facts WHERE id % 20 = 0"""
    third = """
        SELECT id, key, e, k + to_seconds(CAST((10 + v2 * 10) * 86400 AS BIGINT)) AS k, FALSE AS deleted, v1, v2, v3 + 5 AS v3,
               v4, v5
        FROM facts WHERE id % 200 = 0"""
    columns = f"id, key, e, k, FALSE AS deleted, {', '.join(VALUES)}"
    _copy_files(folder, sizes, once, f"SELECT {columns} FROM facts UNION ALL {second} UNION ALL {third}")


def prices(folder: Path, sizes: Sizes) -> None:
    """Facts with two values: `v`, prices of two decimals as doubles, and `n`, whole numbers; keys are drawn alike.

    A tenth is known (`k`) up to three days late, the others within a minute. Instants have microseconds.
    """
    _price_files(folder, sizes, lambda what: f"floor({_draw(what)} * {sizes.keys})")


def prices_by_zipf(folder: Path, sizes: Sizes) -> None:
    """The same with keys that follow Zipf's law: of 100,000 the first has 6% of the facts, half of them fewer than 20."""
    _price_files(folder, sizes, lambda what: f"floor(exp({_draw(what)} * ln({sizes.keys} + 1)))")


def wide(folder: Path, sizes: Sizes) -> None:
    """Two files, a and b, of one fact per key, with ten values each, none of them NULL: four doubles, three integers, two
    texts, a boolean."""
    with _connection() as con:
        for name in "ab":
            doubles = [f"{_draw(f'{name}{i}')} * 1000 AS {name}{i}" for i in range(4)]
            integers = [f"CAST({_draw(f'{name}{i}')} * 1000000 AS BIGINT) AS {name}{i}" for i in range(4, 7)]
            texts = [f"'category_' || CAST(floor({_draw(f'{name}{i}')} * 5000) AS INTEGER) AS {name}{i}" for i in range(7, 9)]
            values = ", ".join([*doubles, *integers, *texts, f"{_draw(f'{name}9')} < 0.5 AS {name}9"])
            con.execute(f"""
                COPY (
                  SELECT CAST(id AS BIGINT) AS key, {FIRST} + to_seconds(CAST(floor({_draw(name)} * {SECONDS}) AS BIGINT)) AS e,
                         {values}
                  FROM range({sizes.keys}) AS r(id)
                ) TO '{folder}/{name}.parquet' (FORMAT parquet)""")


DOUBLES, INTEGERS, TEXTS = 150, 25, 24
DRIFTED = "moved"


def two_sets(folder: Path, sizes: Sizes) -> None:
    """Training sets reference and current of one distribution: exponential doubles with 2% NULL, integers of up to a thousand
    values, texts of up to 250; and one double that lies 0.2 standard deviations higher in current."""
    doubles = [
        f"CASE WHEN {_draw(f'null{i}')} >= 0.02 THEN -ln(1 - {_draw(f'd{i}')}) * {i + 1} END AS d{i}" for i in range(DOUBLES)
    ]
    integers = [f"CAST(floor(pow({_draw(f'i{i}')}, 2) * {4 + 40 * i}) AS BIGINT) AS i{i}" for i in range(INTEGERS)]
    texts = [f"'category_' || CAST(floor({_draw(f't{i}')} * {4 + 10 * i}) AS INTEGER) AS t{i}" for i in range(TEXTS)]
    with _connection() as con:
        for number, name in enumerate(("reference", "current")):
            moved = f"-ln(1 - {_draw(DRIFTED)}) + {0.2 * number} AS {DRIFTED}"
            start = number * sizes.rows
            con.execute(f"""
                COPY (
                  SELECT {", ".join([*doubles, *integers, *texts, moved])} FROM range({start}, {start + sizes.rows}) AS r(id)
                ) TO '{folder}/{name}.parquet' (FORMAT parquet)""")


def _price_files(folder: Path, sizes: Sizes, key: Callable[[str], str]) -> None:
    def instant(what: str) -> str:
        return f"{FIRST} + to_microseconds(CAST(floor({_draw(what)} * {SECONDS}e6) AS BIGINT))"

    late = f"CASE WHEN {_draw('late')} < 0.1 THEN 259200e6 ELSE 60e6 END"
    with _connection() as con:
        for number in range(sizes.files):
            start, end = number * sizes.rows // sizes.files, (number + 1) * sizes.rows // sizes.files
            con.execute(f"""
                COPY (
                  SELECT CAST({key("key")} AS BIGINT) AS key, {instant("time")} AS e,
                         e + to_microseconds(CAST({_draw("delay")} * {late} AS BIGINT)) AS k,
                         CAST(floor({_draw("price")} * 1e6) AS BIGINT) / 100.0 AS v,
                         CAST(floor({_draw("number")} * 1e6) AS BIGINT) AS n
                  FROM range({start}, {end}) AS r(id)
                ) TO '{folder}/facts_{number}.parquet' (FORMAT parquet)""")
        con.execute(f"""
            COPY (
              SELECT CAST({key("spine key")} AS BIGINT) AS key, {instant("spine time")} AS as_of
              FROM range({sizes.spine}) AS r(id)
            ) TO '{folder}/spine.parquet' (FORMAT parquet)""")


def _copy_files(folder: Path, sizes: Sizes, ids: int, select: str, key: str = "{}") -> None:
    """key: what becomes of a key that is drawn evenly, as SQL."""
    with _connection() as con:
        for number in range(sizes.files):
            start, end = number * ids // sizes.files, (number + 1) * ids // sizes.files
            con.execute(f"""
                COPY (
                  WITH facts AS (
                    SELECT id, key, e, v1, v2, v3, v4, v5,
                           e + to_seconds(CAST(CASE WHEN {_draw("late")} < 0.1 THEN {_draw("delay")} * 259200
                                               ELSE {_draw("delay")} * 60 END AS BIGINT)) AS k
                    FROM (
                      SELECT id, {key.format(f"CAST(floor({_draw('key')} * {sizes.keys}) AS BIGINT)")} AS key,
                             {FIRST} + to_seconds(CAST(floor({_draw("time")} * {SECONDS}) AS BIGINT)) AS e,
                             CASE WHEN {_draw("null")} >= 0.02 THEN {_draw("v1")} * 100 END AS v1, {_draw("v2")} AS v2,
                             CAST({_draw("v3")} * 1000000 AS BIGINT) AS v3,
                             'category_' || CAST(floor({_draw("v4")} * 5000) AS INTEGER) AS v4, {_draw("v5")} < 0.5 AS v5
                      FROM range({start}, {end}) AS r(id)
                    )
                  )
                  {select}
                ) TO '{folder}/facts_{number}.parquet' (FORMAT parquet)""")
        con.execute(f"""
            COPY (
              SELECT {key.format(f"CAST(floor({_draw('spine key')} * {sizes.keys}) AS BIGINT)")} AS key,
                     {FIRST} + to_seconds(CAST(floor({_draw("spine time")} * {SECONDS}) AS BIGINT)) AS as_of,
                     {_draw("label")} < 0.3 AS label
              FROM range({sizes.spine}) AS r(id)
            ) TO '{folder}/spine.parquet' (FORMAT parquet)""")


BUSY = "CASE WHEN hash(hash(id, 'busy')) % 5 = 0 THEN 0 ELSE {} END"


def _draw(what: str) -> str:
    """A number in [0, 1) that depends on the row and on what is drawn.

    Hashed twice: hash(id, 'a') and hash(id, 'b') differ by one exclusive or for all ids, so that keys would follow from times.
    """
    return f"(CAST(hash(hash(id, '{what}')) >> 11 AS DOUBLE) / 9007199254740992.0)"


def _connection() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(config={"threads": 2})
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET enable_progress_bar = false")
    return con


def ensure(root: Path, name: str, make: Callable[[Path, Sizes], None], sizes: Sizes) -> Path:
    """The folder that holds the data of this recipe and size; generated now if it is not there."""
    parts = (make, _copy_files, _price_files, _draw)
    recipe = "".join([*map(inspect.getsource, parts), str(sizes), duckdb.__version__])
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    folder, mark = root / name, root / name / "complete"
    if mark.is_file() and mark.read_text(encoding="utf-8") == digest:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"generating {name}: {sizes.rows:,} rows, {sizes.keys:,} keys, spine {sizes.spine:,} rows", flush=True)
    make(folder, sizes)
    mark.write_text(digest, encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Place:
    """Where cases find their data and leave their answers. scale: how much smaller than promised everything is."""

    data: Path
    scratch: Path
    scale: float = 1.0

    def ensure(self, name: str, make: Callable[[Path, Sizes], None], sizes: Sizes) -> Path:
        """The folder with the data of a recipe, at this scale."""
        return ensure(self.data, name if self.scale == 1 else f"{name}_{self.scale:g}", make, sizes.scaled(self.scale))

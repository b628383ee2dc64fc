"""A source with rows deleted, changed, delayed or added that no row of a spine may see: what proofs of leaks are made with.

It reads files that hold instants (`audit.rewritten`). When a row counts is worked out here anew, from the source's
declaration alone, and not by the steps of `facts`: what judges the statements that build training sets shares no
boundary with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from featurestore.compiler.duckdb.scalars import canonical, quoted
from featurestore.compiler.duckdb.types import key_type, sql_type
from featurestore.compiler.statement import Steps, listed
from featurestore.definitions import Source
from featurestore.definitions.source import PUSHED_AT
from featurestore.dtypes import DType
from featurestore.intervals import MICROS_PER_DAY, MICROS_PER_SECOND, format_instant

TOUCHED = "__touched"
NEVER = -(2**62)
"""The limit of a key that nobody asks for: no row of it is ever seen."""
EACH = 3
"""How many rows of a key are copied, and how many are touched where a control asks whether touching is noticed."""
_LATER = (1, MICROS_PER_SECOND, 3_600 * MICROS_PER_SECOND, 5 * MICROS_PER_DAY)
"""By how much rows are delayed, in microseconds."""


@dataclass(frozen=True)
class Lookup:
    """How views find a row: by which columns of the source, and the relation that says of each key from which instant on
    nothing of it is seen: key_0, key_1, …, until. Without columns it has one row, for all keys. by: the key columns."""

    columns: tuple[tuple[str, DType], ...]
    limits: str
    by: tuple[str, ...]


@dataclass(frozen=True)
class Perturbation:
    """What is done to a source. path: its rewritten rows, of these columns; pushed: rows among them came by push.

    control: touch the newest rows that are seen instead of those that are not, which must be noticed.
    """

    source: Source
    columns: Mapping[str, DType]
    path: str
    lookups: tuple[Lookup, ...]
    seed: int
    pushed: bool = False
    control: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.columns, PUSHED_AT) if self.pushed else tuple(self.columns)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(column for lookup in self.lookups for column, _ in lookup.columns))

    @property
    def by(self) -> str:
        """PARTITION BY of what is done for each key."""
        columns = dict.fromkeys(column for lookup in self.lookups for column in lookup.by)
        return ", ".join(map(_in, columns)) or "1"

    @property
    def fixed(self) -> frozenset[str]:
        """Columns that say which fact a row is and when: never changed as values."""
        return frozenset((*self.source.time_columns, *self.source.row_key, PUSHED_AT))


def kept_rows(columns: Sequence[str]) -> str:
    """Of the relation `spine` the row_id of rows up to an instant that is drawn for each combination of columns: the as_of of
    one of its rows. $seed picks."""
    by = f"PARTITION BY {', '.join(columns)}" if columns else ""
    drawn = f"arg_min(asked_at, hash(row_id, $seed)) OVER ({by}) AS last"
    steps = Steps()
    steps.add("drawn", "an instant of each key", f"SELECT row_id, asked_at, {drawn}\nFROM spine")
    return steps.finish("what is asked up to it", "SELECT row_id FROM drawn WHERE asked_at <= last ORDER BY row_id")


def limits(columns: Sequence[str], exact: bool) -> str:
    """Of the relation `spine`, per key, from which instant on nothing is seen: key_0, …, until."""
    keys = [f"{column} AS key_{i}" for i, column in enumerate(columns)]
    known = " AND ".join(f"{column} IS NOT NULL" for column in columns)
    where, group = (f"\nWHERE {known}", f"\nGROUP BY {', '.join(columns)}") if columns else ("", "")
    return f"SELECT {', '.join([*keys, f'max(asked_at) + {int(exact)} AS until'])}\nFROM spine{where}{group}"


def deleted(asked: Perturbation) -> str:
    """The rows but those touched."""
    columns = [*_own(asked), f"FALSE AS {TOUCHED}"]
    return _fate(asked).finish("what is left", f"SELECT\n{listed(columns)}\nFROM fate WHERE NOT touched")


def changed(asked: Perturbation) -> str:
    """The rows, those touched with other values and, where nobody asks for it so early, another key."""
    columns = [f"{_changed(asked, name)} AS {quoted(name)}" for name in asked.names]
    return _fate(asked).finish("other values", f"SELECT\n{listed([*columns, f'touched AS {TOUCHED}'])}\nFROM fate")


def delayed(asked: Perturbation) -> str:
    """The rows, those touched known later, and perhaps happening later."""
    columns = [f"{_delayed(asked, name)} AS {quoted(name)}" for name in asked.names]
    return _fate(asked).finish("later", f"SELECT\n{listed([*columns, f'touched AS {TOUCHED}'])}\nFROM fate")


def added(asked: Perturbation) -> str:
    """The rows, and copies of some that count from the first instant on at which nobody looks any more, or a little later."""
    steps = _fate(asked)
    steps.add("copies", "a few of each key that is asked for", f"SELECT * FROM fate WHERE until > {NEVER}\n"
              f"QUALIFY row_number() OVER (PARTITION BY {asked.by} ORDER BY dice) <= {EACH}")  # fmt: skip
    own = [*_own(asked), f"FALSE AS {TOUCHED}"]
    copied = [*(f"{_added(asked, name)} AS {quoted(name)}" for name in asked.names), f"TRUE AS {TOUCHED}"]
    both = f"SELECT\n{listed(own)}\nFROM fate\nUNION ALL\nSELECT\n{listed(copied)}\nFROM copies"
    return steps.finish("all of them", both)


KINDS = {"deleted": deleted, "changed": changed, "delayed": delayed, "added": added}


def shuffled(asked: Perturbation, files: int, number: int) -> str:
    """The rows that fall into one of some files, in an order of dice."""
    columns = ", ".join(map(quoted, asked.names))
    dice = f"hash(__part, __row, {asked.seed})"
    return f"SELECT {columns}\nFROM {_rows(asked)}\nWHERE {dice} % {files} = {number}\nORDER BY hash({dice}, 1)"


def _in(column: str) -> str:
    """A column of the source inside a statement: no name of a user's can clash."""
    return quoted(f"in_{column}")


def _near(column: str) -> str:
    """The same of another row."""
    return quoted(f"near_{column}")


def _own(asked: Perturbation) -> list[str]:
    return [f"{_in(c)} AS {quoted(c)}" for c in asked.names]


def _rows(asked: Perturbation) -> str:
    return rows_of(asked.path)


def rows_of(path: str) -> str:
    """A rewritten source, for a FROM."""
    return "read_parquet('" + path.replace("'", "''") + "', hive_partitioning = false)"


def _fate(asked: Perturbation) -> Steps:
    """The step `fate`: rows with e, k, the instant from which they count, that until which somebody looks, and whether they
    are touched; and, of each column, the value of another row."""
    steps, until, joins = Steps(), [], list[str]()
    for i, lookup in enumerate(asked.lookups):
        on = [f"CAST(timed.{_in(c)} AS {key_type(t)}) = l{i}.key_{j}" for j, (c, t) in enumerate(lookup.columns)]
        joins.append(f"\nLEFT JOIN {quoted(lookup.limits)} AS l{i} ON {' AND '.join(on) or 'TRUE'}")
        until.append(f"coalesce(l{i}.until, {NEVER})")
    latest = f"greatest({', '.join(until)})" if len(until) > 1 else until[0]
    columns = [
        *(f"{quoted(c)} AS {_in(c)}" for c in asked.names),
        times(asked.source, pushed=asked.pushed),
        f"hash(__part, __row, {asked.seed}) AS dice",
    ]
    steps.add("timed", "rows with their event and known time", f"SELECT\n{listed(columns)}\nFROM {_rows(asked)}")
    steps.add("limited", "until when somebody looks at the row's key",
              f"SELECT timed.*, {latest} AS own_until\nFROM timed{''.join(joins)}")  # fmt: skip
    steps.add("judged", "or at a key that another version of the same fact has",
              f"SELECT *, {_group_limit(asked)} AS until\nFROM limited")  # fmt: skip
    columns = ["*", f"{_hidden(asked)} AS hidden", f"{_counts_from(asked.source)} AS counts_from"]
    steps.add("sorted", "whether nobody may see it", f"SELECT\n{listed(columns)}\nFROM judged")
    near = [f"lag({_in(c)}) OVER by_dice AS {_near(c)}" for c in asked.names]
    columns = ["*", f"{_touched(asked)} AS touched", "lag(own_until) OVER by_dice AS near_until", *near]
    steps.add("fate", "what is touched, and what another row has",
              f"SELECT\n{listed(columns)}\nFROM sorted\nWINDOW by_dice AS (ORDER BY dice)")  # fmt: skip
    return steps


def times(source: Source, *, pushed: bool) -> str:
    """e, k, the created time and the arrival in microseconds, NULL outside the source's time range."""
    assert source.event_timestamp is not None
    e = _micros(source.event_timestamp, source)
    created = _micros(source.created_timestamp, source) if source.created_timestamp else "CAST(NULL AS BIGINT)"
    arrival = _micros(PUSHED_AT, source) if pushed else "CAST(NULL AS BIGINT)"
    known = f"{e} + {source.known_delay.micros}"
    if source.created_timestamp is not None:
        known = f"coalesce({created}, {known})" if source.created_null == "event" else created
    if pushed:
        known = f"CASE WHEN {quoted(PUSHED_AT)} IS NULL THEN {known} ELSE {arrival} END"
    return f"{e} AS e, {known} AS k, {created} AS created, {arrival} AS arrival"


def _micros(column: str, source: Source) -> str:
    first, end = source.time_range
    name = quoted(column)
    inside = f"{name} >= TIMESTAMPTZ '{format_instant(first)}' AND {name} < TIMESTAMPTZ '{format_instant(end)}'"
    return f"CASE WHEN {inside} THEN epoch_us({name}) END"


def _row_key(asked: Perturbation) -> list[str]:
    return [canonical(_in(c), asked.columns[c]) for c in asked.source.row_key]


def _group_limit(asked: Perturbation) -> str:
    """A version hides the others of its fact, whatever their keys."""
    if not asked.source.row_key:
        return "own_until"
    return f"max(own_until) OVER (PARTITION BY {', '.join(_row_key(asked))})"


def _counts_from(source: Source) -> str:
    """A fact counts from max(e, k) on; a version, which hides others, from k on."""
    return "k" if source.row_key else "greatest(e, k)"


def _hidden(asked: Perturbation) -> str:
    never = ["k IS NULL", *(f"{_in(c)} IS NULL" for c in asked.source.row_key)]
    if not asked.source.row_key:
        never.append("e IS NULL")
    return f"({' OR '.join(never)} OR {_counts_from(asked.source)} >= until)"


def _touched(asked: Perturbation) -> str:
    if not asked.control:
        return "hidden"
    newest = f"row_number() OVER (PARTITION BY hidden, {asked.by} ORDER BY counts_from DESC, dice) <= {EACH}"
    return f"NOT hidden AND until > {NEVER} AND {newest}"


def _changed(asked: Perturbation, name: str) -> str:
    if name in asked.keys:
        if asked.fixed & set(asked.keys):
            return _in(name)
        harmless = "TRUE" if asked.control else "(counts_from IS NULL OR counts_from >= near_until)"
        return f"CASE WHEN touched AND dice % 4 = 0 AND {harmless} THEN {_near(name)} ELSE {_in(name)} END"
    if name in asked.fixed:
        return _in(name)
    return f"CASE WHEN touched THEN {_other(asked, name)} ELSE {_in(name)} END"


def _other(asked: Perturbation, name: str) -> str:
    """Another value for a column: mostly that of another row, else NULL, or as great or strange as the type allows."""
    extreme = _extreme(asked.columns[name], _in(name))
    near = _near(name)
    return f"CASE (dice >> 2) % 8 WHEN 0 THEN NULL WHEN 1 THEN {extreme or near} WHEN 2 THEN {extreme or near} ELSE {near} END"


def _extreme(dtype: DType, value: str) -> str | None:
    if dtype.name == "bool":
        return f"NOT {value}"
    if dtype.name == "string":
        return "CASE WHEN dice >> 5 & 1 = 0 THEN '' ELSE 'zzz' END"
    if dtype.is_float:
        most = "1e300" if dtype.name == "double" else "1e30"
        ends: tuple[str, ...] = ("'NaN'", "'-infinity'", most)
    elif dtype.is_integer:
        bits, signed = int(dtype.name.lstrip("uint")), not dtype.name.startswith("u")
        ends = (str(2 ** (bits - signed) - 1), str(-(2 ** (bits - 1)) if signed else 0), "0")
    elif dtype.is_decimal:
        precision, scale = dtype.precision_scale
        most = f"{'9' * (precision - scale) or '0'}.{'9' * scale}".rstrip(".")
        ends = (f"'{most}'", f"'-{most}'", "'0'")
    else:
        return None
    cases = " ".join(f"WHEN {i} THEN CAST({end} AS {sql_type(dtype)})" for i, end in enumerate(ends))
    return f"CASE (dice >> 5) % 3 {cases} END"


def _delayed(asked: Perturbation, name: str) -> str:
    source = asked.source
    steps = " ".join(f"WHEN {i} THEN {later}" for i, later in enumerate(_LATER))
    later = f"(CASE dice % 4 {steps} END)"
    if asked.control:  # what is seen must no longer be
        later = f"(greatest(until - counts_from, 0) + {later})"
    if name == PUSHED_AT:
        return _moved("arrival", "arrival", later, name)
    if name == source.created_timestamp:
        return _moved("created", "arrival IS NULL AND created", later, name)
    if name == source.event_timestamp:
        known_by_it = "(arrival IS NULL AND created IS NULL)"
        return _moved("e", f"({known_by_it} OR dice >> 2 & 1 = 0) AND e", later, name)
    return _in(name)


def _moved(time: str, given: str, later: str, name: str) -> str:
    return f"CASE WHEN touched AND {given} IS NOT NULL THEN make_timestamptz({time} + {later}) ELSE {_in(name)} END"


def _added(asked: Perturbation, name: str) -> str:
    """Of a copy: known, or happening, at the instant from which nobody looks. pick: which of the two is how late."""
    source, pick = asked.source, "(dice >> 8) % 4"
    at = "until - 1" if asked.control else "until"
    after = at if asked.control else f"{at} + 1"
    ahead = at if source.row_key else f"{at} - 1"  # loaded ahead; as a version it would hide others at once
    k = f"CASE {pick} WHEN 2 THEN {ahead} WHEN 3 THEN {after} ELSE {at} END"
    if name == PUSHED_AT:
        return f"CASE WHEN arrival IS NOT NULL THEN make_timestamptz({at}) END"
    if name == source.created_timestamp:
        return f"make_timestamptz({k})"
    if name == source.event_timestamp:
        happened = f"CASE {pick} WHEN 1 THEN least(coalesce(e, {at} - 1), {at} - 1) WHEN 3 THEN {at} - 1 ELSE {at} END"
        if source.created_timestamp is None:
            by_event = f"(CASE {pick} WHEN 3 THEN {after} ELSE {at} END) - {source.known_delay.micros}"
            happened = f"CASE WHEN arrival IS NULL THEN {by_event} ELSE {happened} END"
        return f"make_timestamptz({happened})"
    if name in source.row_key:
        return _fresh(asked, name)
    if name in asked.keys or name in asked.fixed:
        return _in(name)
    return f"CASE (dice >> 10) % 4 WHEN 0 THEN {_in(name)} ELSE {_other(asked, name)} END"


def _fresh(asked: Perturbation, name: str) -> str:
    """A copy is another version of its fact, or a fact of its own where its row key can be given another value."""
    new = {"int64": "-CAST(dice >> 2 AS BIGINT) - 1", "string": "'added ' || dice"}.get(asked.columns[name].name)
    if new is None or name in asked.keys:
        return _in(name)
    return f"CASE WHEN (dice >> 12) % 2 = 0 THEN {new} ELSE {_in(name)} END"


__all__ = ["KINDS", "NEVER", "TOUCHED", "Lookup", "Perturbation", "kept_rows", "limits", "rows_of", "shuffled", "times"]

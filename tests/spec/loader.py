"""Read `.spec` files: the contract as small tables, each a story that every engine must tell the same way.

Decides the format, and what it means for an answer to match. How an engine is asked is `engines`' business. A file
opens with `# Title` and prose. A case is a heading, prose, and sections whose lines are indented:

    ## the newest usable row wins
    Why, in a sentence.

    source moves: event_timestamp="at"            keyword arguments of ParquetSource; `---` in the table: next file
      customer | at         | country
      1        | 2024-01-01 | FR
    view v: source=moves, ttl="7d"                keyword arguments of FeatureView; a feature a line
      latest("country")
    label l: source=moves, gap="1h", settle="7d"  keyword arguments of LabelView; its one label as a line
      agg.count(window="30d", name="moves_30d")
    on demand o: inputs=[v], request={"n": "int64"}   keyword arguments of OnDemandFeatureView; `name = expression` a line
      tripled = 3 * n
    spine: timezone="Europe/Paris"                as_of, timezone, known_before="…Z", serving_lag="1h"
      customer | as_of
      1        | 2024-01-03
    expect:                                       or `expect error: FS300`, then words that the error must say
      country | country.status | country.event
      FR      | present        | 2024-01-01

Optional: `entity route: origin, destination` (else every view is about `customer`), `service: v, v.with_prefix("x_")`
(else all views in order, then what is on demand), `labels: l` likewise (else all label views), `types: country=string`,
`left out v: key_null=1` (or `reason = 1`, a line each), `counted l: mature=1, immature=2, positive=0`,
`without value: ratio=1`. Without a spine, customers 1, 2, … ask at
2100-01-01, one per expected row. A column is `name` or `name:type` with an Arrow type; without one, cells decide: bool,
int64, double, timestamp[us, UTC], else string. Times without offset are UTC, or local where the type has no zone. NULL
is NULL; a cell in quotes is text as Python reads it. A list is [a, b], a map {a: 1, b: 2}, their items written like cells.

Variances and standard deviations match within the contract's tolerance (`spread`), everything else exactly.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import (
    Entity,
    FeatureService,
    FeatureStoreError,
    FeatureView,
    LabelView,
    OnDemandFeatureView,
    ParquetSource,
    agg,
    expect,
    latest,
)
from featurestore.dtypes import DType
from featurestore.engines.reference import ReferenceEngine
from featurestore.intervals import parse_duration, parse_instant
from tests.spec.spread import Spreads, comparable

_SECTIONS = "entity|source|view|on demand|label|service|labels|spine|expect error|expect|types|left out|counted|without value"
_SECTION = re.compile(rf"^({_SECTIONS})(?: (\w+))?:(?: (.*))?$")
_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,9}))?)? ?(Z|[+-]\d{2}:\d{2})?|(-?)infinity", re.ASCII
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf|nan", re.ASCII)
_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


class Answer(Protocol):
    """What an engine hands back: one list per feature in spine order, timestamps in µs. None: not told."""

    @property
    def types(self) -> Mapping[str, DType]: ...
    @property
    def values(self) -> Mapping[str, Sequence[Any]]: ...
    @property
    def statuses(self) -> Mapping[str, Sequence[str]]: ...
    @property
    def event_timestamps(self) -> Mapping[str, Sequence[int | None]]: ...
    @property
    def left_out(self) -> Mapping[str, Mapping[str, int]] | None: ...
    @property
    def labels(self) -> Mapping[str, Mapping[str, int]]: ...
    @property
    def without_value(self) -> Mapping[str, int] | None: ...


@dataclass(frozen=True)
class Section:
    kind: str
    name: str
    head: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """One story. `tables` are the source's rows, one per file; `expected` is the table of expected cells, as text."""

    topic: str
    title: str
    story: str
    sections: tuple[Section, ...] = field(repr=False)

    @property
    def id(self) -> str:
        return f"{self.topic}-{re.sub('[^a-z0-9]+', '_', self.title.lower()).strip('_')}"

    def all(self, kind: str) -> list[Section]:
        return [s for s in self.sections if s.kind == kind]

    def one(self, kind: str) -> Section | None:
        return next(iter(self.all(kind)), None)

    @property
    def tables(self) -> dict[str, list[pa.Table]]:
        return {s.name: [read_table(lines) for lines in _files(s.lines)] for s in self.all("source")}

    @property
    def spine(self) -> pa.Table:
        section = self.one("spine")
        if section is not None:
            return read_table(section.lines)
        rows = 1 if self.one("expect") is None else len(_columns(self)[1])
        return read_table(["customer | as_of", *(f"{number} | 2100-01-01" for number in range(1, rows + 1))])

    @property
    def options(self) -> dict[str, Any]:
        """How the spine is asked: as_of, timezone, known_before and serving_lag in µs. Only those the case sets."""
        section = self.one("spine")
        options = _arguments(section.head if section else "", {})
        if "known_before" in options:
            options["known_before"] = parse_instant(options["known_before"])
        if "serving_lag" in options:
            options["serving_lag"] = parse_duration(options["serving_lag"]).micros
        return options

    def service(self, root: Path | None = None) -> FeatureService:
        """The definitions, as users write them. With `root`, paths are absolute and match what `write` wrote there."""
        names: dict[str, Any] = {"agg": agg, "expect": expect, "latest": latest}
        for s in self.all("entity"):
            names[s.name] = Entity(name=s.name, join_keys=[k.strip() for k in s.head.split(",")])
        entities = [] if self.all("entity") else [Entity(name="customer")]
        for s in self.all("source"):
            path = f"{s.name}/*.parquet" if root is None else str(root / s.name / "*.parquet")
            names[s.name] = ParquetSource(name=s.name, path=path, **_arguments(s.head, names))
        for s in self.all("view"):
            features = [eval(line, dict(names)) for line in s.lines]
            names[s.name] = FeatureView(name=s.name, features=features, **{"entities": entities, **_arguments(s.head, names)})
        for s in self.all("on demand"):
            written = dict(line.split(" = ", 1) for line in s.lines)
            names[s.name] = OnDemandFeatureView(name=s.name, features=written, **_arguments(s.head, names))
        for s in self.all("label"):
            [label] = [eval(line, dict(names)) for line in s.lines]
            names[s.name] = LabelView(name=s.name, label=label, **{"entities": entities, **_arguments(s.head, names)})
        features = self._listed("service", ("view", "on demand"), names)
        return FeatureService(name="service", features=features, labels=self._listed("labels", ("label",), names))

    def _listed(self, chosen: str, kinds: Sequence[str], names: Mapping[str, Any]) -> list[Any]:
        """What the service lists: as the case says, else all of some kinds, in order."""
        said = self.one(chosen)
        return eval(f"[{said.head}]", dict(names)) if said else [names[s.name] for kind in kinds for s in self.all(kind)]

    @property
    def has_windows(self) -> bool:
        """Whether it has an answer with windows in it."""
        return self.one("expect error") is None and any(
            "agg." in line for section in self.all("view") for line in section.lines
        )

    def write(self, root: Path) -> None:
        """The source's files as Parquet, in root/<source>/<number>.parquet."""
        for name, tables in self.tables.items():
            (root / name).mkdir(parents=True, exist_ok=True)
            for number, table in enumerate(tables):
                pq.write_table(table, root / name / f"{number}.parquet")


def read_cases(folder: Path) -> list[Case]:
    """Every case of every `.spec` file in a folder, in order."""
    return [case for path in sorted(folder.glob("*.spec")) for case in parse(path.read_text("utf-8"), path.stem)]


def parse(text: str, topic: str) -> list[Case]:
    """The cases of one file. Raises: ValueError for a line that is in no section."""
    return [_case(topic, block) for block in re.split(r"^## ", text, flags=re.MULTILINE)[1:]]


def _case(topic: str, block: str) -> Case:
    title, *lines = block.splitlines()
    story: list[str] = []
    sections: list[tuple[str, str, str, list[str]]] = []
    for line in lines:
        head = _SECTION.match(line)
        if head:
            sections.append((head[1], head[2] or "", head[3] or "", []))
        elif line.startswith(" ") and line.strip() and sections:
            sections[-1][3].append(line.strip())
        elif not sections:
            story.append(line.strip())
        elif line.strip():
            raise ValueError(f"{topic}.spec, {title!r}: {line!r} is in no section")
    made = tuple(Section(kind, name, rest, tuple(body)) for kind, name, rest, body in sections)
    return Case(topic, title.strip(), " ".join(story).strip(), made)


def _arguments(text: str, names: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = eval(f"dict({text})", dict(names))
    return found


def _files(lines: Sequence[str]) -> Iterator[list[str]]:
    """The tables of a source: parted by lines of ---, each with its own header."""
    table: list[str] = []
    for line in lines:
        if line == "---":
            yield table
            table = []
        else:
            table.append(line)
    yield table


def rows_of(lines: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """A table's header and cells."""
    header, *rows = ([cell.strip() for cell in line.split("|")] for line in lines)
    if any(len(row) != len(header) for row in rows):
        raise ValueError(f"a row of the table {header} has too many or too few cells")
    return header, rows


def read_table(lines: Sequence[str]) -> pa.Table:
    """A table of cells as Arrow. Two columns may share a name: that is a case too."""
    header, rows = rows_of(lines)
    names, columns = [], []
    for position, title in enumerate(header):
        name, _, kind = title.partition(":")
        cells = [row[position] for row in rows]
        names.append(name)
        columns.append(read_column(cells, kind or _guess(cells)))
    return pa.Table.from_arrays(columns, names=names)


def _guess(cells: Sequence[str]) -> str:
    told = [c for c in cells if c != "NULL"]
    if told and all(c in ("true", "false") for c in told):
        return "bool"
    if told and all(re.fullmatch(r"-?\d+", c) for c in told):
        return "int64"
    if told and all(_NUMBER.fullmatch(c) for c in told):
        return "double"
    if told and all(_TIME.fullmatch(c) for c in told):
        return "timestamp[us, UTC]"
    return "string"


def arrow_type(text: str) -> pa.DataType:
    """An Arrow type by name; "dictionary<string>" and "list<int64>" nest."""
    if match := re.fullmatch(r"(dictionary|list)<(.+)>", text):
        inner = arrow_type(match[2])
        return pa.dictionary(pa.int32(), inner) if match[1] == "dictionary" else pa.list_(inner)
    if match := re.fullmatch(r"timestamp\[(s|ms|us|ns)(?:, (.+))?\]", text):
        return pa.timestamp(match[1], match[2])
    if match := re.fullmatch(r"decimal\((\d+), ?(\d+)\)", text):
        return pa.decimal128(int(match[1]), int(match[2]))
    made: pa.DataType = {"double": pa.float64, "float": pa.float32, "bool": pa.bool_}.get(text, getattr(pa, text, None))()
    return made


def read_column(cells: Sequence[str], kind: str) -> pa.Array:
    arrow = arrow_type(kind)
    if pa.types.is_dictionary(arrow):
        return read_column(cells, re.sub(r"^dictionary<(.+)>$", r"\1", kind)).dictionary_encode()
    values = [None if c == "NULL" else read_cell(c, arrow) for c in cells]
    if pa.types.is_timestamp(arrow):
        return pa.array(values, pa.int64()).cast(pa.timestamp(arrow.unit, arrow.tz))
    return pa.array(values, arrow)


def read_cell(cell: str, kind: pa.DataType) -> Any:
    """One cell as the Python value of an Arrow type; a timestamp as the integer it stores."""
    if pa.types.is_timestamp(kind):
        return _time(cell, kind.unit)
    if pa.types.is_date(kind):
        return date.fromisoformat(cell)
    if pa.types.is_decimal(kind):
        return Decimal(cell)
    if pa.types.is_boolean(kind):
        return {"true": True, "false": False}[cell]
    if pa.types.is_integer(kind):
        return int(cell)
    if pa.types.is_floating(kind):
        return float(cell)
    if pa.types.is_list(kind):
        return [read_item(item, kind.value_type) for item in _items(cell, "[]")]
    if pa.types.is_map(kind):
        pairs = [item.rpartition(":") for item in _items(cell, "{}")]
        return [(read_item(key.strip(), kind.key_type), int(count)) for key, _, count in pairs]
    text = ast.literal_eval(cell) if cell[:1] in ("'", '"') else cell
    return text.encode() if pa.types.is_binary(kind) else text


def read_item(cell: str, kind: pa.DataType) -> Any:
    return None if cell in ("NULL", "None") else read_cell(cell, kind)


def _items(cell: str, brackets: str) -> list[str]:
    """What stands between brackets, parted by the commas that are in no quotes and no inner brackets."""
    if cell[:1] != brackets[0] or cell[-1:] != brackets[1]:
        raise ValueError(f"{cell!r} does not stand in {brackets}")
    return [item.strip() for item in re.findall(r"""((?:"[^"]*"|'[^']*'|\[[^\]]*\]|[^,"'\[])+),?""", cell[1:-1])]


def _time(cell: str, unit: str) -> int:
    match = _TIME.fullmatch(cell)
    if match is None:
        raise ValueError(f"{cell!r} is no time")
    if "infinity" in cell:
        return -(2**63) + 1 if match[5] else 2**63 - 1
    moment = datetime.fromisoformat(f"{match[1]}T{match[2] or '00:00'}{match[4] or '+00:00'}".replace("Z", "+00:00"))
    seconds = round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    return (seconds * 10**9 + int((match[3] or "").ljust(9, "0"))) // _UNITS[unit]


def micros(cell: str) -> int | None:
    """An expected instant."""
    return None if cell == "NULL" else _time(cell, "us")


def run_case(case: Case, engine: Callable[[Case, Path], Answer], folder: Path) -> None:
    """Ask an engine, and compare every expected cell exactly: type, bits of doubles, status, event time."""
    refusal = case.one("expect error")
    if refusal is not None:
        with pytest.raises(FeatureStoreError) as caught:
            engine(case, folder)
        code, _, words = refusal.head.partition(" ")
        assert caught.value.code == code, str(caught.value)
        assert all(word in str(caught.value) for word in words.split()), str(caught.value)
        return
    answer = engine(case, folder)
    assert _expected(case, answer) == _found(case, answer)
    for section in case.all("types"):
        told = dict(pair.strip().split("=") for pair in re.split(r",(?![^(\[<]*[)\]>])", section.head))
        assert {name: str(answer.types[name]) for name in told} == told
    if answer.left_out is not None:
        for section in case.all("left out"):
            assert dict(answer.left_out[section.name]) == _arguments(section.head, {}) | dict(_reasons(section.lines))
    for section in case.all("counted"):
        assert dict(answer.labels[section.name]) == _arguments(section.head, {})
    if answer.without_value is not None:
        for section in case.all("without value"):
            assert dict(answer.without_value) == _arguments(section.head, {})


def _reasons(lines: Sequence[str]) -> Iterator[tuple[str, int]]:
    for line in lines:
        reason, _, rows = line.rpartition(" = ")
        yield reason, int(rows)


def _columns(case: Case) -> tuple[list[str], list[list[str]]]:
    section = case.one("expect")
    assert section is not None, f"case {case.title!r} expects nothing"
    return rows_of(section.lines)


def _expected(case: Case, answer: Answer) -> list[dict[str, Any]]:
    header, rows = _columns(case)
    spreads = Spreads(case.service())
    means = _means(case, spreads)
    return [
        {title: _wanted(title, cell, answer, spreads, means, number) for title, cell in zip(header, row, strict=True)}
        for number, row in enumerate(rows)
    ]


def _means(case: Case, spreads: Spreads) -> Mapping[str, Sequence[Any]]:
    """Of each column of a variance or standard deviation its means, which the tolerance takes; from the oracle."""
    if not spreads.means:
        return {}
    answer = ReferenceEngine(case.tables).answer(spreads.service, case.spine, **case.options)
    return {name: answer.values[mean] for name, mean in spreads.means.items()}


def _wanted(title: str, cell: str, answer: Answer, spreads: Spreads, means: Mapping[str, Sequence[Any]], row: int) -> Any:
    name, _, part = title.partition(".")
    if part == "status":
        return cell
    if part == "event":
        return micros(cell)
    wanted = None if cell == "NULL" else read_cell(cell, answer.types[name].arrow)
    return spreads.expected(name, wanted, means[name][row]) if name in means else comparable(wanted)


def _found(case: Case, answer: Answer) -> list[dict[str, Any]]:
    header, _ = _columns(case)
    columns = {}
    for title in header:
        name, _, part = title.partition(".")
        if part == "status":
            columns[title] = list(answer.statuses[name])
        elif part == "event":
            columns[title] = list(answer.event_timestamps[name])
        else:
            columns[title] = [comparable(v) for v in answer.values[name]]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

"""The cases of windows: ours beside the best plain query at every density, beside other tools, and with known times.

Twelve features (`FEATURES`) everywhere, except where extremes and the others are timed apart.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import data as generated
from data import Place, Sizes
from environments import environment
from figures import Figure
from measure import HERE, Case, Contender, Measured, alternate, seconds

RUNS = 2
DAYS = (1, 7, 30)
TERMS, EXTREMES = ["count", "sum", "mean"], ["min", "max"]
AGGREGATES = ["count", "sum", "mean", "max"]
FEATURES = [f"{what}_{d}d" for d in DAYS for what in ("count", "v_sum", "v_mean", "v_max")]
NEAR = 1e-9
"""Two doubles further apart than this share of ours are two answers."""
HALF_A_CENT = 0.005
"""What the running totals of a plain query may lose beside: they stand for ten thousand times the sum of a short window."""


@dataclass(frozen=True)
class Density:
    """How facts spread over keys. sql: the best plain query for it. label: as the page names it."""

    label: str
    sizes: Sizes
    sql: str
    make: Callable[[Path, Sizes], None] = generated.prices

    @property
    def per_key(self) -> int:
        return self.sizes.rows // self.sizes.keys


EVENTS, SPINE = 10_000_000, 1_000_000
DENSITIES: Mapping[str, Density] = {
    "sparse": Density("100 events a key", Sizes(EVENTS, 100_000, SPINE), "windows_sparse.sql"),
    "dense": Density("10,000 events a key", Sizes(EVENTS, 1_000, SPINE), "windows_dense.sql"),
    "busiest": Density("1,000,000 events a key", Sizes(EVENTS, 10, SPINE), "windows_busiest.sql"),
    "zipf": Density("keys by Zipf's law", Sizes(EVENTS, 100_000, SPINE), "windows_zipf.sql", generated.prices_by_zipf),
}


def folder_of(place: Place, density: str) -> Path:
    found = DENSITIES[density]
    return place.ensure(f"windows_{density}", found.make, found.sizes)


def ours(folder: Path, output: Path, value: str, aggregates: list[str], *, created: bool = False) -> Contender:
    arguments = {"folder": str(folder), "output": str(output), "value": value, "aggregates": aggregates, "created": created}
    return Contender("build_windows", arguments)


class Windows:
    """Ours beside the plain query, of integers and of doubles, at one density."""

    peaks: ClassVar[dict[str, float]] = {}

    def __init__(self, name: str, place: Place) -> None:
        self.name, self._density, self._scratch = name, DENSITIES[name], place.scratch
        folder = folder_of(place, name)
        self._contenders: dict[str, Contender] = {}
        for value in ("n", "v"):
            plain = {
                "folder": str(folder),
                "output": str(self._output("plain", value)),
                "sql": self._density.sql,
                "value": value,
            }
            self._contenders[f"plain {value}"] = Contender("plain_windows", plain)
            self._contenders[f"ours {value}"] = ours(folder, self._output("ours", value), value, AGGREGATES)
        self._found = {name: Measured() for name in self._contenders}

    def _output(self, who: str, value: str) -> Path:
        return self._scratch / f"{who}_{value}.parquet"

    def measure(self) -> list[Figure]:
        alternate(self._contenders, self._found, RUNS)
        figures = [self._figure("n", "int"), self._figure("v", "double")]
        self.peaks[self.name] = max(self._found[f"ours {v}"].peak_mb for v in ("n", "v")) / 1000
        if self.name == "zipf":
            figures.append(Figure("windows_memory", max(self.peaks.values()), "the greatest of all runs above", "GB"))
        return figures

    def _figure(self, value: str, kind: str) -> Figure:
        mine, plain = self._found[f"ours {value}"], self._found[f"plain {value}"]
        differing = Differences.between(self._output("ours", value), self._output("plain", value), value, HALF_A_CENT)
        if differing.wrong:
            raise RuntimeError(f"{self._density.sql} and ours differ: {differing}")
        cpu = mine.least("cpu_seconds") / plain.least("cpu_seconds")
        detail = f"ours {seconds(mine)}; plain {seconds(plain)}; {cpu:.2f}× the processor time"
        return Figure(f"windows_{self.name}_{kind}", mine.seconds / plain.seconds, detail, points=self._points(value))

    def _points(self, value: str) -> tuple[tuple[str, int, float], ...]:
        if value == "n" or self.name == "zipf":
            return ()
        per_key = self._density.per_key
        return (
            ("ours, exact sums", per_key, self._found["ours v"].seconds),
            ("ours, integers", per_key, self._found["ours n"].seconds),
            ("best plain query", per_key, self._found["plain v"].seconds),
        )


@dataclass(frozen=True)
class Differences:
    """Cells of one answer that are not those of another. wrong: other values; rounded: near ours, but other bits."""

    cells: int
    wrong: int
    rounded: int

    def __str__(self) -> str:
        return f"of {self.cells:,} values {self.wrong:,} are wrong and {self.rounded:,} differ in their last digits"

    @classmethod
    def between(cls, mine: Path, theirs: Path, value: str = "v", slack: float = 0.0) -> Differences:
        """Compare by the number of the spine row, which theirs may name in a column `row`; it may hold fewer rows.

        slack: how far two doubles may be apart in absolute terms and still be near.
        """
        import duckdb

        columns = [name.replace("v_", f"{value}_") for name in FEATURES]
        with duckdb.connect() as con:
            for name, file in (("ours", mine), ("theirs", theirs)):
                con.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{file}', file_row_number = true)")
            named = {row[0] for row in con.execute("DESCRIBE theirs").fetchall()}
            counts = []
            for c in columns:
                differ = f"o.{c} IS DISTINCT FROM t.{c}"
                near = f"coalesce(abs(o.{c} - t.{c}) <= {slack} + {NEAR} * abs(o.{c}), FALSE)"
                counts += [f"count(*) FILTER (WHERE {differ} AND NOT {near})", f"count(*) FILTER (WHERE {differ} AND {near})"]
            place = "row" if "row" in named else "file_row_number"
            query = f"SELECT count(*), {', '.join(counts)} FROM ours AS o JOIN theirs AS t ON t.{place} = o.file_row_number"
            rows, *found = con.execute(query).fetchall()[0]
        return cls(rows * len(columns), sum(found[::2]), sum(found[1::2]))


FEW = 10_000
"""Spine rows for extremes of late facts of the busiest keys, which rows meet one by one: 8,000 in 30 days."""


class Known:
    """With a created timestamp beside event time only, ours both, extremes and the others apart, at one density."""

    def __init__(self, name: str, place: Place) -> None:
        self.name = name
        folder = few = folder_of(place, name)
        if name == "busiest":
            few = place.ensure("windows_busiest_few", generated.prices, replace(DENSITIES[name].sizes, spine=FEW))
        kinds = {"terms": (folder, TERMS), "extremes": (few, EXTREMES)}
        self._contenders = {
            f"{kind} {known}": ours(where, place.scratch / "known.parquet", "v", aggregates, created=known == "created")
            for kind, (where, aggregates) in kinds.items()
            for known in ("event", "created")
        }
        self._found = {name: Measured() for name in self._contenders}

    def measure(self) -> list[Figure]:
        alternate(self._contenders, self._found, RUNS)
        return [self._figure(kind) for kind in ("terms", "extremes")]

    def _figure(self, kind: str) -> Figure:
        event, created = self._found[f"{kind} event"], self._found[f"{kind} created"]
        cpu = created.least("cpu_seconds") / event.least("cpu_seconds")
        detail = f"with a created timestamp {seconds(created)}; without {seconds(event)}; {cpu:.2f}× the processor time"
        return Figure(f"windows_known_{self.name}_{kind}", created.seconds / event.seconds, detail)


class Doubling:
    """Ours on the dense data, and on twice as many events, keys and spine rows."""

    def __init__(self, place: Place) -> None:
        once = DENSITIES["dense"].sizes
        twice = Sizes(once.rows * 2, once.keys * 2, once.spine * 2, once.files * 2)
        folders = {"once": folder_of(place, "dense"), "twice": place.ensure("windows_twice", generated.prices, twice)}
        output = place.scratch / "doubling.parquet"
        self._contenders = {name: ours(folder, output, "v", AGGREGATES) for name, folder in folders.items()}
        self._found = {name: Measured() for name in self._contenders}

    def measure(self) -> list[Figure]:
        alternate(self._contenders, self._found, RUNS)
        once, twice = self._found["once"], self._found["twice"]
        detail = f"once {seconds(once)}; twice {seconds(twice)}"
        return [Figure("windows_doubling", twice.seconds / once.seconds, detail)]


PATIENCE = 600
"""Seconds a peer may take; one that needs longer is reported so."""
SMALL = Sizes(1_000_000, 1_000, 100_000, files=1)
ANSWERED = 300
"""Rows that Featuretools is asked for: each is a run of its own, and they show what all would take."""


@dataclass(frozen=True)
class Peer:
    """A tool and what it is asked. rows: of the spine, where it is asked for fewer than all."""

    name: str
    how: str
    rows: int | None = None


PEERS = (
    Peer("polars", "`rolling_*_by` over the key, on facts and spine in one frame"),
    Peer("pandas", "`groupby().rolling()` on facts and spine in one frame"),
    Peer("timefence", "a window function at the events, carried forward to each spine row"),
    Peer("featuretools", "`dfs` with cut-off times and training windows", ANSWERED),
)


class Peers:
    """The same question to other tools, on the same files; their values are counted against ours."""

    def __init__(self, folder: Path, place: Place, peers: tuple[Peer, ...], suffix: str = "") -> None:
        self._folder, self._scratch, self._peers, self._suffix = folder, place.scratch, peers, suffix
        self._ours = ours(folder, self._output("ours"), "v", AGGREGATES)
        self._mine = Measured()
        self._theirs: dict[str, dict[str, Any] | None] = {}

    def _output(self, name: str) -> Path:
        return self._scratch / f"{name}{self._suffix}.parquet"

    def measure(self) -> list[Figure]:
        for _ in range(RUNS):
            self._mine.runs.append(self._ours.run())
        return [self._figure(peer) for peer in self._peers]

    def _figure(self, peer: Peer) -> Figure:
        if peer.name not in self._theirs:
            self._theirs[peer.name] = self._ask(peer)
        said, mine = self._theirs[peer.name], self._mine
        name = f"windows_{peer.name}{self._suffix}"
        if said is None:
            return Figure(name, PATIENCE / mine.seconds, f"ours {seconds(mine)}; {peer.how}: not done after 10 minutes")
        differing = Differences.between(self._output("ours"), self._output(peer.name))
        whole, took = float(said["seconds"]), f"{said['seconds']:.2f} s, {said['peak_mb'] / 1000:.2f} GB"
        if peer.rows is not None:
            rows = _rows_of(self._folder / "spine.parquet")
            whole *= max(rows / peer.rows, 1)
            took = f"{took} for {peer.rows:,} of {rows:,} rows, so about {whole / 60:,.0f} minutes for all"
        cpu = whole / float(said["seconds"]) * float(said["cpu_seconds"]) / mine.least("cpu_seconds")
        took = f"{took}; {cpu:.2f}× our processor time"
        detail = f"ours {seconds(mine)}; {peer.name} {said['version']}, {peer.how}: {took}; {differing}"
        per_key = DENSITIES["dense"].per_key
        points = ((peer.name.capitalize(), per_key, whole),) if self._suffix else ()
        return Figure(name, whole / mine.seconds, detail, points=points)

    def _ask(self, peer: Peer) -> dict[str, Any] | None:
        """One run; None if it is not done in time."""
        arguments: dict[str, Any] = {"folder": str(self._folder), "output": str(self._output(peer.name))}
        if peer.rows is not None:
            arguments["rows"] = peer.rows
        script = HERE / "peers_task.py"
        asked = Contender(peer.name, arguments, python=environment(peer.name), script=script, timeout=PATIENCE)
        try:
            return asked.run()
        except subprocess.TimeoutExpired:
            return None


def _rows_of(file: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(file).num_rows)


def peers(place: Place) -> Case:
    return Peers(place.ensure("windows_small", generated.prices, SMALL), place, PEERS)


def polars_in_full(place: Place) -> Case:
    """The one peer that answers the whole question too."""
    return Peers(folder_of(place, "dense"), place, PEERS[:1], "_in_full")


CASES: Mapping[str, Callable[[Place], Case]] = {
    **{f"windows_{name}": partial(Windows, name) for name in DENSITIES},
    **{f"windows_known_{name}": partial(Known, name) for name in DENSITIES if name != "zipf"},
    "windows_doubling": Doubling, "windows_peers": peers, "windows_polars": polars_in_full,
}  # fmt: skip

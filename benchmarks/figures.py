"""Figures, their bounds, and how both are shown: a table for the terminal, a page for the docs."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Figure:
    """One measured number. unit "" is a ratio. detail: seconds and memory of both sides. explained: a remark for the page.

    points: what the chart shows of it, as (series, events per key, seconds).
    """

    name: str
    value: float
    detail: str
    unit: str = ""
    explained: str = ""
    points: tuple[tuple[str, int, float], ...] = ()

    @property
    def shown(self) -> str:
        return shown(self.value, self.unit)


@dataclass(frozen=True)
class Bound:
    """A promise of ratios.toml; without a bound the figure is shown and nothing is promised."""

    what: str
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    def holds(self, value: float) -> bool:
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)

    def __str__(self) -> str:
        if self.at_most is None and self.at_least is None:
            return "none"
        word, value = ("at most", self.at_most) if self.at_most is not None else ("at least", self.at_least)
        return f"{word} {shown(value or 0, self.unit)}"


def shown(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if value >= 100 else f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{number}×" if not unit else f"{number} {unit}"


def bounds() -> dict[str, Bound]:
    given = tomllib.loads((HERE / "ratios.toml").read_text(encoding="utf-8"))
    return {name: Bound(**fields) for name, fields in given.items()}


def table(figures: Sequence[Figure], limits: dict[str, Bound]) -> str:
    rows = [("figure", "measured", "bound", "")]
    rows += [(f.name, f.shown, str(limits[f.name]), "" if limits[f.name].holds(f.value) else "BROKEN") for f in figures]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def page(figures: Sequence[Figure], limits: dict[str, Bound]) -> str:
    """docs/benchmarks.md."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `python benchmarks/run.py --write`; `make bench` measures, `make bench-check` fails where a bound of",
        "`benchmarks/ratios.toml` is broken. Data is generated from fixed seeds. Each contender runs in a process of its own,",
        "in turn with its peer, and the least time counts. A ratio compares two programs on one machine at one time.",
        "A figure outside its bound is measured again, up to three times in all, and all runs then count: near its bound that",
        "favours passing. Of look-ups the try with the best ratio is shown. A second call is one run, and noisy.",
        "",
        f"This machine: {os.cpu_count()} cores, DuckDB with 2 threads, {_versions()}. Cases are measured one at a time.",
        "",
        "| figure | measured | bound | how |",
        "|---|---|---|---|",
    ]
    for f in figures:
        limit = limits[f.name]
        broken = "" if limit.holds(f.value) else ", **broken**"
        lines.append(f"| {limit.what} | **{f.shown}** | {limit}{broken} | {f.detail} |")
    lines += ["", *_curve(figures), "## What is measured", "", _SIZES]
    lines += [f"- {f.explained}" for f in figures if f.explained]
    return "\n".join(lines) + "\n"


CHART = "benchmarks_windows.svg"
"""The chart's file, beside the page."""

Points = dict[str, dict[int, float]]


def points_of(figures: Sequence[Figure]) -> Points:
    """Series -> events per key -> seconds."""
    found: Points = {}
    for figure in figures:
        for series, density, seconds in figure.points:
            found.setdefault(series, {})[density] = seconds
    return found


def _curve(figures: Sequence[Figure]) -> list[str]:
    """The cost of windows against events per key: the chart and its numbers."""
    points = points_of(figures)
    if not points:
        return []
    densities = sorted({density for series in points.values() for density in series})
    lines = ["## Windows: cost against events per key", "", f"![Seconds against events per key]({CHART})", ""]
    lines += ["| events per key | " + " | ".join(points) + " |", "|---:|" + "---:|" * len(points)]
    for density in densities:
        cells = [f"{series[density]:.2f} s" if density in series else "–" for series in points.values()]
        lines.append(f"| {density:,} | " + " | ".join(cells) + " |")
    return [*lines, ""]


_SIZES = """\
- Training sets: 10,000,000 source rows in 4 Parquet files, 100,000 keys, five feature columns (two doubles, an integer, a
  text, a boolean), 1,000,000 spine rows, Parquet to Parquet. One fact in a hundred has a twin at the same instant; a tenth
  of the rows is up to three days late; with versions, 5% of the facts are corrected, moved to another key or time, or
  deleted. Ours is the first `build_training_set` of a process, imports done (a second where pandas is installed, which Arrow
  then imports), files in the page cache, no ttl: footers, which here prove that no row is left out, the join, content hash,
  manifest with the sha256 of every source file. The peer is `benchmarks/sql/asof_baseline.sql`: one as-of join, `ORDER BY`
  and `COPY`, right only where nothing ties, is late, or was corrected.
- Windows: 10,000,000 events in 4 Parquet files, spread evenly over one year, 1,000,000 spine rows, their keys drawn like those
  of the events; count, sum, mean and max over 1, 7 and 30 days, twelve features, Parquet to Parquet. Keys hold 100, 10,000 or
  1,000,000 events each, or follow Zipf's law. The peer is the fastest plain query we found for that density
  (`benchmarks/sql/windows_*.sql`), different for each and not right beyond this data; each says what it does not know. All its
  counts and extremes must be ours, and its sums near ours. Wrong values of other tools: more than a billionth from ours.
- Peak memory is the process's own, imports included; DuckDB's limit is our default of 2 GB."""


def _versions() -> str:
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in ("duckdb", "pyarrow"))

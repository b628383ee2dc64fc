"""The promises for training sets by Spark: the answers of DuckDB, time that grows with the data, busy keys that cost little.

    python benchmarks/spark.py                 generate the data (3 GB), measure, print a log and the figures (some minutes)
    python benchmarks/spark.py equal skew      only these
    python benchmarks/spark.py --scale 0.05    a rehearsal on a twentieth

Spark runs as local[2] in `.venv-spark` (`make test-spark` makes it), each build in a process of its own; the least time counts.
Figures are kept beside those of `run.py`, which shows them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

from run import FIGURES, ROOT, remember

import data
from data import Place, Sizes
from figures import Figure, bounds, table
from measure import HERE, Contender, Measured

RUNS = 2
ONE = Sizes(1_000_000, 10_000, 200_000)
SIZES = {"1M": ONE, "4M": ONE.scaled(4), "16M": ONE.scaled(16)}
PYTHON = ROOT / ".venv-spark" / "bin" / "python"
CONF = {"spark.driver.memory": "2g", "spark.sql.shuffle.partitions": "8"}


def main() -> int:
    asked = arguments()
    asked.data.mkdir(parents=True, exist_ok=True)
    os.environ |= {"FEATURESTORE_SPARK__MASTER": "local[2]", "FEATURESTORE_SPARK__CONF": json.dumps(CONF)}
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(dir=asked.data) as scratch:
        runs = Runs(Place(asked.data, Path(scratch), asked.scale), asked.python)
        for name in asked.cases or CASES:
            figures += CASES[name](runs)
    limits = bounds()
    print("\n" + table(figures, limits))
    if asked.scale == 1:
        remember(asked.data / FIGURES, figures)
    return 0 if all(limits[f.name].holds(f.value) for f in figures) else 1


class Runs:
    """Builds by name of the data; what one case has measured another uses."""

    def __init__(self, place: Place, python: Path) -> None:
        self.place, self._python = place, str(python)
        self._found: dict[str, Measured] = {}

    def task(self, name: str, arguments: Mapping[str, str]) -> Contender:
        return Contender(name, dict(arguments), python=self._python, script=HERE / "spark_tasks.py", timeout=3_600)

    def folder(self, name: str) -> Path:
        if name == "busy key":
            return self.place.ensure("spark_busy", data.events_of_a_busy_key, ONE)
        return self.place.ensure(f"spark_{name}", data.events, SIZES[name])

    def output(self, name: str, engine: str) -> Path:
        return self.place.scratch / f"{name}_{engine}.parquet"

    def of(self, name: str, runs: int = RUNS) -> Measured:
        """Builds by Spark, the least of `runs`."""
        found = self._found.setdefault(name, Measured())
        while len(found.runs) < runs:
            self._build(name, "spark", found)
        return found

    def _build(self, name: str, engine: str, found: Measured) -> None:
        output = self.output(name, engine)
        arguments = {"folder": str(self.folder(name)), "output": str(output), "engine": engine}
        found.runs.append(run := self.task("build", arguments).run())
        print(f"{name}, {engine}: {run['seconds']:.1f} s, {run['shuffle_mb']:,.0f} MB through shuffles", flush=True)

    def by_duckdb(self, name: str) -> Measured:
        found = Measured()
        self._build(name, "duckdb", found)
        return found


def equal(runs: Runs) -> list[Figure]:
    spark, ours = runs.of("1M"), runs.by_duckdb("1M")
    paths = {"one": str(runs.output("1M", "duckdb")), "other": str(runs.output("1M", "spark"))}
    found = runs.task("compare", paths).run()
    same = found["hashes"][0] == found["hashes"][1]
    detail = (
        f"content hashes {'equal' if same else 'differ'}; of {found['cells']:,} variances {found['differ']} differ "
        f"within 9 digits; "
        f"Spark {spark.seconds:.1f} s, DuckDB {ours.seconds:.1f} s"
    )
    return [Figure("spark_equal", float(not same) + found["differ"], detail, "differences")]


def growth(runs: Runs) -> list[Figure]:
    found = {name: runs.of(name, RUNS if name != "16M" else 1) for name in SIZES}
    names = list(SIZES)
    grown = max(found[b].seconds / found[a].seconds for a, b in pairwise(names))
    detail = "; ".join(f"{n}: {m.seconds:.1f} s, {m.least('shuffle_mb'):,.0f} MB through shuffles" for n, m in found.items())
    return [Figure("spark_growth", grown, detail)]


def skew(runs: Runs) -> list[Figure]:
    even, busy = runs.of("1M"), runs.of("busy key")
    detail = f"even {even.seconds:.1f} s; one key with a fifth of all {busy.seconds:.1f} s"
    return [Figure("spark_skew", busy.seconds / even.seconds, detail)]


CASES: Mapping[str, Callable[[Runs], list[Figure]]] = {"equal": equal, "skew": skew, "growth": growth}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    folder = os.environ.get("FEATURESTORE_BENCH_DATA", ROOT / ".featurestore" / "bench")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--data", type=Path, default=Path(folder), help="where generated data is kept (3 GB)")
    parser.add_argument("--scale", type=float, default=1.0, help="so much of the data (default 1); figures then mean little")
    parser.add_argument("--python", type=Path, default=PYTHON, help="an interpreter with pyspark (default: .venv-spark's)")
    asked = parser.parse_args()
    if unknown := [name for name in asked.cases if name not in CASES]:
        parser.error(f"unknown case {unknown[0]!r}")
    asked.data = asked.data.resolve()
    return asked


if __name__ == "__main__":
    sys.exit(main())

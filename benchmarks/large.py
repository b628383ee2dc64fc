"""The promise for training sets of any size: ten times the data in at most thirteen times the time, within memory.

    python benchmarks/large.py                 generate the data (5 GB), measure, print a log and the figures (some minutes)
    python benchmarks/large.py --scale 0.01    a rehearsal on a hundredth

It is too long for `make bench`. Both sizes have 100 events a key; each build is a process of its own, the small one is run
before and after the large one, and its least time counts. Figures are kept beside those of `run.py`, which shows them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from run import FIGURES, ROOT, remember

import data
from data import Place, Sizes
from figures import Figure, bounds, table
from measure import Contender, Measured, seconds

LIMIT = "4GB"
SMALL = Sizes(10_000_000, 100_000, 1_000_000)
LARGE = Sizes(100_000_000, 1_000_000, 10_000_000, 40)


def main() -> int:
    asked = arguments()
    asked.data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=asked.data) as scratch:
        figures = measured(Place(asked.data, Path(scratch), asked.scale))
    limits = bounds()
    print("\n" + table(figures, limits))
    if asked.scale == 1:
        remember(asked.data / FIGURES, figures)
    return 0 if all(limits[f.name].holds(f.value) for f in figures) else 1


def measured(place: Place) -> list[Figure]:
    folders = {"small": place.ensure("small", data.events, SMALL), "large": place.ensure("large", data.events, LARGE)}
    found = {name: Measured() for name in folders}
    for name in ("small", "large", "small"):
        output = str(place.scratch / f"{name}.parquet")
        task = Contender("build_large", {"folder": str(folders[name]), "output": output, "memory_limit": LIMIT}, timeout=3_600)
        found[name].runs.append(run := task.run())
        print(
            f"{name}: {run['seconds']:.1f} s, {run['cpu_seconds']:.1f} s of processors, peak {run['peak_mb'] / 1000:.2f} GB",
            flush=True,
        )
    small, large = found["small"], found["large"]
    busy = large.least("cpu_seconds") / small.least("cpu_seconds")
    detail = f"large {seconds(large)}; small {seconds(small)}; {busy:.1f}× the processor time; memory limit {LIMIT}"
    return [
        Figure("large", large.seconds / small.seconds, detail),
        Figure("large_memory", large.peak_mb / 1000, f"memory limit {LIMIT}", "GB"),
    ]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    folder = os.environ.get("FEATURESTORE_BENCH_DATA", ROOT / ".featurestore" / "bench")
    parser.add_argument(
        "--data", type=Path, default=Path(folder), help="where generated data is kept (5 GB; 15 GB while it runs)"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="so much of the data (default 1); figures then mean little")
    asked = parser.parse_args()
    asked.data = asked.data.resolve()
    return asked


if __name__ == "__main__":
    sys.exit(main())

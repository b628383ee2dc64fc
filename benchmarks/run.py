"""Measure the promised figures, side by side with peers.

    python benchmarks/run.py                       print a table
    python benchmarks/run.py --check               and exit with 1 when a figure breaks its bound (ratios.toml)
    python benchmarks/run.py --write               and write docs/benchmarks.md, but for what it says by hand:
                                                   these cases, and the others as last measured here
    python benchmarks/run.py event_time help       only these cases
    python benchmarks/run.py --scale 0.01          a rehearsal on a hundredth of the data, once

The machine is never quiet: runs alternate, the least time counts, and a figure outside its bound is measured again before
it is believed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from cases import CASES
from chart import chart
from data import Place
from figures import CHART, Bound, Figure, bounds, page, points_of, table

ROOT = Path(__file__).resolve().parent.parent
TRIES = 3
BY_HAND = "<!-- what follows is written by hand -->"


def main() -> int:
    asked = arguments()
    limits = bounds()
    figures: list[Figure] = []
    asked.data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=asked.data) as scratch:
        for name in asked.cases or CASES:
            figures += measured(name, Place(asked.data, Path(scratch), asked.scale), limits)
    print("\n" + table(figures, limits))
    if asked.scale == 1:
        remember(asked.data / FIGURES, figures)
    if asked.write:
        docs, figures = ROOT / "docs", remembered(asked.data / FIGURES, limits)
        path = docs / "benchmarks.md"
        path.write_text(page(figures, limits) + by_hand(path), encoding="utf-8")
        if points := points_of(figures):
            (docs / CHART).write_text(chart(points), encoding="utf-8")
    broken = [figure.name for figure in figures if not limits[figure.name].holds(figure.value)]
    if broken:
        print(f"\noutside the bound: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken and asked.check else 0


FIGURES = "figures.json"


def remember(path: Path, figures: list[Figure]) -> None:
    """Keep figures beside those of other cases."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    known |= {figure.name: asdict(figure) for figure in figures}
    path.write_text(json.dumps(known, indent=2), encoding="utf-8")


def remembered(path: Path, limits: dict[str, Bound]) -> list[Figure]:
    """The last figures of all cases, in the order of their bounds."""
    known = json.loads(path.read_text(encoding="utf-8"))
    found = [known[name] for name in limits if name in known]
    return [Figure(**{**figure, "points": tuple(map(tuple, figure["points"]))}) for figure in found]


def by_hand(path: Path) -> str:
    """What a page says below its mark, with the mark: remarks on the figures, which no run can write."""
    _, _, remarks = path.read_text(encoding="utf-8").partition(BY_HAND)
    return f"\n{BY_HAND}{remarks}"


def measured(name: str, place: Place, limits: dict[str, Bound]) -> list[Figure]:
    """The figures of a case. Runs pile up over the tries, so a quiet moment in any of them counts."""
    case = CASES[name](place)
    figures: list[Figure] = []
    for number in range(1, (TRIES if place.scale == 1 else 1) + 1):
        print(f"{name}{'' if number == 1 else ', again'} …", flush=True)
        figures = case.measure()
        if all(limits[figure.name].holds(figure.value) for figure in figures):
            break
    for figure in figures:
        print(f"  {figure.name} {figure.shown}: {figure.detail}", flush=True)
    return figures


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a figure breaks its bound")
    parser.add_argument(
        "--write", action="store_true", help="write docs/benchmarks.md, of these cases and the last run of others"
    )
    folder = os.environ.get("FEATURESTORE_BENCH_DATA", ROOT / ".featurestore" / "bench")
    parser.add_argument("--data", type=Path, default=Path(folder), help="where generated data is kept (about 4 GB)")
    parser.add_argument("--scale", type=float, default=1.0, help="so much of the data (default 1); figures then mean little")
    asked = parser.parse_args()
    if unknown := [name for name in asked.cases if name not in CASES]:
        parser.error(f"unknown case {unknown[0]!r}")
    if asked.scale != 1 and (asked.check or asked.write):
        parser.error("--check and --write are for a run at full scale")
    asked.data = asked.data.resolve()
    return asked


if __name__ == "__main__":
    sys.exit(main())

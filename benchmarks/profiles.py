"""Profiles: a build of seventeen features with one beside it, and without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import data as generated
from data import Place, Sizes
from figures import Figure
from measure import Case, Contender, Measured, alternate, seconds

RUNS = 3
LARGE = Sizes(rows=10_000_000, keys=100_000, spine=1_000_000)


class Profiled:
    def __init__(self, folder: Path, scratch: Path) -> None:
        asked = {"folder": str(folder), "output": str(scratch / "profiled.parquet")}
        self._contenders = {
            "without": Contender("build_seventeen", asked),
            "with": Contender("build_seventeen", {**asked, "profile": True}),
        }
        self._found = {name: Measured() for name in self._contenders}

    def measure(self) -> list[Figure]:
        alternate(self._contenders, self._found, RUNS)
        plain, profiled = self._found["without"], self._found["with"]
        cpu = profiled.least("cpu_seconds") / plain.least("cpu_seconds")
        detail = f"with {seconds(profiled)}; without {seconds(plain)}; {cpu:.2f}× the processor time"
        return [Figure("profile", profiled.seconds / plain.seconds, detail)]


def profile(place: Place) -> Case:
    return Profiled(place.ensure("events", generated.events, LARGE), place.scratch)


CASES: Mapping[str, Callable[[Place], Case]] = {"profile": profile}

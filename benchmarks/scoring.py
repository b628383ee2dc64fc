"""The case of batch scoring: every key asks at one instant, by the snapshot and by the plans for rows of many instants."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import data as generated
from data import Place, Sizes
from figures import Figure
from measure import Case, Contender, Measured, alternate, seconds

RUNS = 2
SIZES = Sizes(rows=10_000_000, keys=1_000_000, spine=1)
KINDS = {"event": generated.events, "created": generated.events, "versioned": generated.versions}


class Scoring:
    """Five latest values and twelve windows for a million keys, over one kind of source."""

    def __init__(self, kind: str, place: Place) -> None:
        made = KINDS[kind]
        folder = place.ensure(f"scoring_{made.__name__}", made, SIZES)
        self._name = f"scoring_{kind}"
        keys = SIZES.scaled(place.scale).keys
        asked = {"folder": str(folder), "kind": kind, "keys": keys}
        self._contenders = {name: self._contender(place.scratch, name, asked) for name in ("snapshot", "usual")}
        self._found = {name: Measured() for name in self._contenders}

    def _contender(self, scratch: Path, name: str, asked: dict[str, object]) -> Contender:
        output = str(scratch / f"{self._name}_{name}.parquet")
        return Contender("score", {**asked, "output": output, "snapshot": name == "snapshot"})

    def measure(self) -> list[Figure]:
        alternate(self._contenders, self._found, RUNS)
        snapshot, usual = self._found["snapshot"], self._found["usual"]
        assert snapshot.last["content_hash"] == usual.last["content_hash"], "other values"
        cpu = usual.least("cpu_seconds") / snapshot.least("cpu_seconds")
        detail = f"snapshot {seconds(snapshot)}; usual plans {seconds(usual)}; {cpu:.2f}× the processor time; the same content"
        return [Figure(self._name, usual.seconds / snapshot.seconds, detail)]


CASES: dict[str, Callable[[Place], Case]] = {f"scoring_{kind}": partial(Scoring, kind) for kind in KINDS}

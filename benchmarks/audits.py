"""Audits: of a set of ours beside building it, and beside timefence's audit of the same file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import data as generated
from data import Place, Sizes
from environments import environment
from figures import Figure
from measure import Case, Contender, Measured, alternate, seconds

HERE = Path(__file__).resolve().parent
RUNS = 3
LARGE = Sizes(rows=10_000_000, keys=100_000, spine=1_000_000)
NAMES = {f"newest__v{n}": f"v{n}" for n in range(1, 6)}
"""How timefence names the columns it looks for, and how we do."""


class Audit:
    """Seventeen features: five latest values, and twelve of windows."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        built = str(scratch / "seventeen.parquet")
        self._contenders = {
            "build": Contender("build_seventeen", {"folder": str(folder), "output": built}),
            "audit": Contender("audit_seventeen", {"folder": str(folder), "file": built}),
        }
        self._found = {name: Measured() for name in self._contenders}

    def measure(self) -> list[Figure]:
        self._found["build"].runs.append(self._contenders["build"].run())
        alternate(self._contenders, self._found, RUNS)
        build, audit = self._found["build"], self._found["audit"]
        if audit.last["leaks"] or not audit.last["ok"]:
            raise RuntimeError(f"an audit of our own set finds {audit.last}")
        detail = f"audit {seconds(audit)}; build {seconds(build)}; {audit.last['rows']:,} rows × 17 features, all exact"
        return [Figure("audit", audit.seconds / build.seconds, detail)]


def audit(place: Place) -> Case:
    return Audit(place.ensure("events", generated.events, LARGE), place.scratch)


class Timefence:
    """Five latest values of a set of ours, under the names timefence looks for, to both."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._folder, self._file = folder, scratch / "named.parquet"
        self._contenders = {
            "timefence": Contender(
                "audit_timefence", {"folder": str(folder), "file": str(self._file)},
                python=environment("timefence"), script=HERE / "peers_task.py",
            ),
            "ours": Contender("audit_latest", {"folder": str(folder), "file": str(self._file), "renamed": NAMES}),
        }  # fmt: skip
        self._found = {name: Measured() for name in self._contenders}

    def measure(self) -> list[Figure]:
        if not self._file.is_file():
            self._build()
        alternate(self._contenders, self._found, RUNS)
        theirs, ours = self._found["timefence"], self._found["ours"]
        said = f"timefence {theirs.last['version']} calls {theirs.last['leaky']:,} of {theirs.last['rows']:,} rows leaky"
        detail = f"ours {seconds(ours)}, all exact; timefence {seconds(theirs)}; {said}, each a tie it breaks another way"
        return [Figure("audit_timefence", theirs.seconds / ours.seconds, detail)]

    def _build(self) -> None:
        import duckdb

        plain = self._file.with_name("plain.parquet")
        Contender("build", {"folder": str(self._folder), "output": str(plain), "kind": "event"}).run()
        named = ", ".join(f"{ours} AS {theirs}" for theirs, ours in NAMES.items())
        duckdb.sql(f"COPY (SELECT key, as_of, {named} FROM read_parquet('{plain}')) TO '{self._file}'")


def timefence(place: Place) -> Case:
    return Timefence(place.ensure("events", generated.events, LARGE), place.scratch)


CASES: Mapping[str, Callable[[Place], Case]] = {"audit": audit, "audit_timefence": timefence}

"""A project in which much is wrong, and a server over it whose clock stands still: what browser tests visit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from featurestore import FeatureStore
from featurestore.intervals import FixedClock, format_instant
from featurestore.scaffold import create
from tests.functional import found
from tests.needs import ROOT

SERVICE, STOPPED, WELL, SOURCE = "fraud_v1", "card_payments", "merchant_profile", "payments"
DRIFTED = "amount_sum_7d"
BEFORE = ("2025-12-29T00:00:00Z", "2025-12-30T00:00:00Z", "2025-12-31T00:00:00Z")
STOPPED_AT = "2026-01-01T00:00:00Z"
_MINUTE = 60_000_000
_SERVE = """
import sys
from pathlib import Path
from featurestore import config
from featurestore.intervals import FixedClock
from featurestore.server import run

if __name__ == "__main__":
    root = Path(sys.argv[1])
    run.SystemClock = lambda: FixedClock(int(sys.argv[2]))
    run.serve(config.load(root), root, port=0)
"""


_MORE = """
from featurestore import FeatureService

from .payments import merchant_profile

risk_v1 = FeatureService(name="risk_v1", features=[merchant_profile], description="Scores a merchant, by night.", owner="risk")
"""


@dataclass(frozen=True)
class Site:
    """A server of the project `root`. address: without a slash at its end."""

    address: str
    root: Path


def make(folder: Path, *, rows: int = 2_000) -> Path:
    """The project: its views materialized together, then one of them alone; with what a monitor found."""
    create(folder, rows=rows)
    with open(folder / "featurestore.toml", "a", encoding="utf-8") as file:
        file.write('\n[monitor]\nfreshness = { "*" = "2h" }\n')
    (folder / "registry" / "more.py").write_text(_MORE, encoding="utf-8")
    store = FeatureStore(folder, clock=FixedClock(found.NOW))
    for watermark in (*BEFORE, STOPPED_AT):
        store.materialize(known_before=watermark)
    store.materialize([WELL], known_before=format_instant(found.NOW - 10 * _MINUTE))
    features = sorted(store.bound.services[SERVICE].feature_types, key=lambda name: (name != DRIFTED, name))
    results = folder / store.config.monitor.path
    found.plant(results, service=SERVICE, features=features, view=STOPPED, source=SOURCE, others=[WELL])
    return folder


@contextmanager
def serving(root: Path, program: Path, **environment: str) -> Iterator[Site]:
    """The server in a process of its own, at the instant of the newest look. program: where its few lines are kept."""
    program.write_text(_SERVE, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(program), str(root), str(found.NOW)], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FEATURESTORE_SERVER__DRAIN": "0s", **environment},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert said.startswith("serving on http://"), said + process.stderr.read()
        yield Site(said.removeprefix("serving on ").strip(), root)
    finally:
        process.terminate()
        process.wait(60)
        assert process.stderr is not None
        process.stderr.close()

"""Pages of a project with a thousand features: how long until a browser has painted one, and how large they are.

Chromium is asked if there is one and Playwright with it; without, the time until the whole page has arrived stands for it, and
the figure says so. A page is opened in a browser that has seen none before, so its script is fetched as well.
"""

from __future__ import annotations

import http.client
import re
import shutil
import time
from pathlib import Path

import duckdb

import serve
from data import Place
from figures import Figure

VIEWS, FEATURES, TRIES = 10, 100, 5
REGISTRY = f'''
"""A thousand features of ten views, one service."""
from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest

WORDS = "What the customer did, as told by the column of that number: as long as descriptions are that people write."
customer = Entity(name="customer", join_keys=["key"], description=WORDS, owner="customers")
facts = ParquetSource(
    name="facts", path="data/facts.parquet", event_timestamp="e", delay="0s", description=WORDS, owner="facts"
)
views = [
    FeatureView(
        name=f"view_{{v}}", entities=[customer], source=facts, description=WORDS, owner=f"team_{{v}}", tags={{"tier": str(v)}},
        features=[
            agg.sum(f"c{{v}}", window=f"{{n + 1}}h", name=f"spent_{{v}}_{{n + 1}}h") for n in range({FEATURES - 5})
        ] + [latest(f"c{{v}}", name=f"last_{{v}}_{{n}}") for n in range(5)],
    )
    for v in range({VIEWS})
]
everything = FeatureService(name="everything", features=views, description=WORDS, owner="all", tags={{"tier": "0"}})
'''
PATHS = (
    "/", "/?q=spent", "/?page=7", "/services/everything", "/views/view_3", "/features/view_3/spent_3_7h", "/sources/facts",
    "/entities/customer",
)  # fmt: skip


class Pages:
    """Measured all at once: the greatest of all pages counts, of several tries the least."""

    def __init__(self, scratch: Path) -> None:
        self._root = scratch / "thousand"
        self._paints: dict[str, list[float]] = {}

    def measure(self) -> list[Figure]:
        if not self._root.exists():
            _make(self._root)
        with serve.server("--ours", str(self._root)) as port:
            sizes = {path: _size(port, path) for path in PATHS}
            times = {path: min(_arrival(port, path) for _ in range(TRIES)) for path in PATHS}
            paints = _paints(port)
        for path, found in (paints or {path: [least] for path, least in times.items()}).items():
            self._paints.setdefault(path, []).extend(found)
        least = {path: min(found) for path, found in self._paints.items()}
        slowest, largest = max(least, key=least.__getitem__), max(sizes, key=sizes.__getitem__)
        how = "Chromium's first contentful paint" if paints else "the whole page has arrived, no browser was asked"
        server = max(times.values())
        return [
            Figure("page_paint", least[slowest], f"{how}; slowest {slowest}; from the server at most {server:.0f} ms", "ms"),
            Figure("page_size", sizes[largest] / 1_000, f"largest {largest}; style sheet within, script besides", "kB"),
        ]


def _make(root: Path) -> None:
    import online

    for folder in ("registry", "data"):
        (root / folder).mkdir(parents=True)
    (root / "featurestore.toml").write_text('[project]\nname = "thousand"\n', encoding="utf-8")
    (root / "registry" / "features.py").write_text(REGISTRY, encoding="utf-8")
    columns = ", ".join(f"CAST(hash(i, {c}) % 1000 AS DOUBLE) AS c{c}" for c in range(VIEWS))
    duckdb.sql(
        f"COPY (SELECT i % 20 AS key, TIMESTAMPTZ '2026-01-01T00:00:00Z' + to_hours(i) AS e, {columns} FROM range(100) t(i)) "
        f"TO '{root}/data/facts.parquet' (FORMAT parquet)"
    )
    online._featurestore("materialize", "--project", str(root), "--known-before", "2026-01-10T00:00:00Z")


def _get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers={"accept": "text/html"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200 or not re.search(b"<h1>", body):
            raise RuntimeError(f"{path}: {answer.status}")
        return body
    finally:
        connection.close()


def _size(port: int, path: str) -> int:
    return len(_get(port, path))


def _arrival(port: int, path: str) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    _get(port, path)
    return (time.perf_counter() - start) * 1_000


def _paints(port: int) -> dict[str, list[float]] | None:
    """Milliseconds from the navigation's start to the first contentful paint; None without a browser."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if chromium is None:
        return None
    found: dict[str, list[float]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        browser.new_page().goto(f"http://127.0.0.1:{port}/health")  # the browser itself is awake
        for path in PATHS:
            for _ in range(TRIES):
                context = browser.new_context()
                opened = context.new_page()
                opened.goto(f"http://127.0.0.1:{port}{path}")
                painted = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
                opened.wait_for_function(painted)
                found.setdefault(path, []).append(float(opened.evaluate(painted)))
                context.close()
        browser.close()
    return found


def case(place: Place) -> Pages:
    return Pages(place.scratch)


__all__ = ["case"]

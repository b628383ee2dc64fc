"""Stories of feeds and of models that grow old: what counts, what is judged, what fires. For mutants to stumble over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from featurestore import ArrowSource
from featurestore.engines.duckdb import Session, Settings
from featurestore.intervals import MICROS_PER_DAY
from featurestore.monitoring import policy
from featurestore.monitoring.arrivals import HOUR, Interval, SourceFacts, of_source
from featurestore.monitoring.results import Result
from featurestore.monitoring.retrain import Known, decide
from featurestore.monitoring.volume import volume
from featurestore.sources import open_source

T = 20_000 * MICROS_PER_DAY


def _facts(folder: Path, rows: Sequence[tuple[int, int]]) -> SourceFacts:
    """Of rows (id, known time), all of which happened a minute before T; as of T."""
    times = {"e": [T - 60_000_000] * len(rows), "k": [k for _, k in rows]}
    columns = {name: pa.array(at, pa.int64()).cast(pa.timestamp("us", "UTC")) for name, at in times.items()}
    table = pa.table({"id": [n for n, _ in rows], **columns})
    source = ArrowSource(name="s", table=table, event_timestamp="e", created_timestamp="k", row_key=["id"])
    with Session(Settings()) as session:
        return of_source(session, open_source(source, folder), T, {})[0]


def _what_becomes_known_at_an_instant_is_not_known_then(folder: Path) -> None:
    assert (_facts(folder, [(1, T - 1), (2, T), (3, T + 1)]).rows) == 1


def _of_the_versions_of_a_fact_one_counts(folder: Path) -> None:
    found = _facts(folder, [(1, T - 9), (1, T - 5), (2, T - 5), (2, T - 5)])
    assert (found.rows, [hour.facts for hour in found.hours]) == (4, [2])


def _an_interval_waits_for_its_rows(folder: Path) -> None:
    """Rows come ten minutes after their hour is over."""
    hours = tuple(Interval(T + n * HOUR, 60, T + n * HOUR + HOUR + HOUR // 6) for n in range(10 * 24))
    end = hours[-1].start + HOUR
    source = SourceFacts(name="s", rows=len(hours) * 60, newest_known=end, newest_event=end - HOUR // 2, hours=hours)
    by_wait = {wait: volume(source, end + wait * HOUR // 6).details["start"][11:13] for wait in (0, 1, 2)}
    assert by_wait == {0: "22", 1: "22", 2: "23"}


def _worse_is_less_or_more_by_the_metric(folder: Path) -> None:
    text = '[[rule]]\nkind = "performance"\nthreshold = 0.5\nwindow = "7d"\nmetric = "{}"\n'
    (folder / "policy.toml").write_text("".join(text.format(metric) for metric in ("auc", "logloss")))
    fired = []
    for value in (0.4, 0.6):
        details = {"day": "2024-10-01", "metrics": {"auc": value, "logloss": value}}
        judged = Result(at=T, check="performance", kind="service", subject="s", details=details)
        decided = decide(policy.read(folder / "policy.toml"), Known(now=T, performance=[judged]), "s")
        fired.append([rule.fired for rule in decided.rules])
    assert fired == [[True, False], [False, True]]


FRESH: Mapping[str, Callable[[Path], None]] = {
    f"fresh-{story.__name__.removeprefix('_')}": story
    for story in (
        _worse_is_less_or_more_by_the_metric, _an_interval_waits_for_its_rows,
        _what_becomes_known_at_an_instant_is_not_known_then, _of_the_versions_of_a_fact_one_counts,
    )
}  # fmt: skip

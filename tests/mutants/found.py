"""Stories of what boards show of results, and to whom: short ones, for mutants to stumble over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from featurestore.catalogue import Catalogue, Entry
from featurestore.config import Config
from featurestore.intervals import MICROS_PER_DAY
from featurestore.monitoring.results import ALERT, Result, append, recent
from featurestore.server.page.asked import Asked
from featurestore.server.page.boards import freshness
from featurestore.server.page.boards.findings import condensed
from featurestore.server.page.boards.pages import findings
from featurestore.server.page.live import Live

T = 20_000 * MICROS_PER_DAY
HOUR = MICROS_PER_DAY // 24


def who_sees_some_sees_nothing_of_others(folder: Path) -> None:
    """Names are told apart by their kind: a view may be called as a service of the key."""
    config = Config()
    kinds = [("service", "mine"), ("service", "theirs"), ("view", "mine"), ("training_set", "mine"), ("view", "seen")]
    append(folder / config.monitor.path, [Result(at=T, check="drift", kind=kind, subject=name) for kind, name in kinds])
    seen = Catalogue([Entry("service", "mine", uses=(("view", "seen"),)), Entry("view", "seen")])
    told = {}
    for limited in (False, True):
        asked = Asked("/drift", {}, seen, Live({}, {}, {}), T, root=folder, config=config, limited=limited)
        told[limited] = sorted((s.latest.kind, s.latest.subject) for s in findings(asked).series)
    assert told == {False: sorted(kinds), True: [("service", "mine"), ("view", "seen")]}


def a_feed_stops_although_nobody_looks(folder: Path) -> None:
    found = condensed([Result(at=T, check="freshness", kind="view", subject="v", value=60.0, threshold=7200.0)])
    words = [freshness.rows(found, {"v": T - 60_000_000}, now)[0].state.word for now in (T, T + HOUR, T + 3 * HOUR)]
    assert words == ["ok", "ok", "stopped"]


def an_alert_that_nobody_looks_after_is_not_open(folder: Path) -> None:
    gone = Result(at=T - 2 * MICROS_PER_DAY, check="volume", kind="source", subject="gone", status=ALERT)
    there = Result(at=T - HOUR, check="volume", kind="source", subject="there", status=ALERT)
    found = condensed([gone, there, Result(at=T, check="volume", kind="source", subject="well")])
    assert [s.latest.subject for s in found.alerts] == ["there"]


def the_newest_bytes_are_read_and_whole_lines_only(folder: Path) -> None:
    append(folder, [Result(at=T + n, check="volume", kind="source", subject="s") for n in range(5)])
    (file,) = folder.glob("*.jsonl")
    line = file.stat().st_size // 5
    told = {bytes_: len(recent(folder, 0, most_bytes=bytes_)) for bytes_ in (line - 1, line, 2 * line - 1, 2 * line, 9 * line)}
    assert [*told.values()] == [0, 1, 1, 2, 5]


FOUND: Mapping[str, Callable[[Path], None]] = {
    f"found-{story.__name__}": story
    for story in (
        who_sees_some_sees_nothing_of_others, a_feed_stops_although_nobody_looks, an_alert_that_nobody_looks_after_is_not_open,
        the_newest_bytes_are_read_and_whole_lines_only,
    )
}  # fmt: skip

__all__ = ["FOUND"]

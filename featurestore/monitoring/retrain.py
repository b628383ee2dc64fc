"""Is it time to train anew? Each rule of a policy is held against what is known at an instant.

A rule that cannot be judged (no training set, no results in its window) says why and does not fire. Where none can be judged
there is no answer, which is not the same as no.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurestore.errors import DataError, FeatureStoreError
from featurestore.intervals import MICROS_PER_SECOND, format_instant, parse_formatted, parse_instant
from featurestore.monitoring.performance import METRICS
from featurestore.monitoring.policy import Policy, Rule
from featurestore.monitoring.results import SKIPPED, Result
from featurestore.monitoring.told import span
from featurestore.retrieval.manifest import read

if TYPE_CHECKING:
    from featurestore.engines.duckdb import Settings
    from featurestore.sources import SourceData


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a rule. value, limit: in the rule's own measure (seconds for time); None if it could not be judged."""

    rule: Rule
    fired: bool = False
    judged: bool = True
    value: float | None = None
    limit: float | None = None
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        window = None if self.rule.window is None else span(self.rule.window)
        return {
            "kind": self.rule.kind, "threshold": self.rule.written, "window": window, "fired": self.fired,
            "judged": self.judged, "value": self.value, "limit": self.limit, "why": self.why,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Decision:
    """made: up to when the training set knew (microseconds), None without one."""

    at: int
    combine: str
    rules: tuple[Outcome, ...]
    service: str | None
    made: int | None

    @property
    def judged(self) -> bool:
        return any(outcome.judged for outcome in self.rules)

    @property
    def retrain(self) -> bool:
        fired = [outcome.fired for outcome in self.rules]
        return all(fired) if self.combine == "all" else any(fired)

    def to_dict(self) -> dict[str, Any]:
        return {
            "retrain": self.retrain, "judged": self.judged, "at": format_instant(self.at), "combine": self.combine,
            "service": self.service, "training_set_knew_until": None if self.made is None else format_instant(self.made),
            "rules": [outcome.to_dict() for outcome in self.rules],
        }  # fmt: skip


@dataclass(frozen=True)
class Since:
    """Rows of a service's sources: known when the training set was made, and known from then (or from the window) on."""

    before: int
    since: int


@dataclass(frozen=True)
class Known:
    """What rules are held against, at the instant `now`. made: up to when the training set knew. since: per window that a rule
    of volume asks for. drift, performance: results, of whatever time up to now."""

    now: int
    made: int | None = None
    since: Mapping[int | None, Since] = field(default_factory=dict)
    drift: Sequence[Result] = ()
    performance: Sequence[Result] = ()


def decide(policy: Policy, known: Known, service: str | None) -> Decision:
    """Hold each rule against what is known."""
    judged = {"time": _time, "volume": _volume, "drift": _drift, "performance": _performance}
    rules = tuple(judged[rule.kind](rule, known) for rule in policy.rules)
    return Decision(at=known.now, combine=policy.combine, rules=rules, service=service, made=known.made)


def _unjudged(rule: Rule, why: str) -> Outcome:
    return Outcome(rule=rule, judged=False, why=why)


def _time(rule: Rule, known: Known) -> Outcome:
    if known.made is None:
        return _unjudged(rule, "no training set was named")
    age, limit = max(known.now - known.made, 0), int(rule.threshold)
    why = f"the training set is {span(age)} old, by what it could know; threshold {span(limit)}"
    return Outcome(rule=rule, fired=age > limit, value=age / MICROS_PER_SECOND, limit=limit / MICROS_PER_SECOND, why=why)


def _volume(rule: Rule, known: Known) -> Outcome:
    if known.made is None:
        return _unjudged(rule, "no training set was named")
    counted = known.since[rule.window]
    if not rule.rows and not counted.before:
        return _unjudged(rule, "no row was known when the training set was made")
    value = float(counted.since) if rule.rows else counted.since / counted.before
    lately = "" if rule.window is None else f" in the last {span(rule.window)}"
    why = f"{counted.since:,} rows became known since{lately}, {counted.before:,} were when the training set was made"
    return Outcome(rule=rule, fired=value > rule.threshold, value=value, limit=rule.threshold, why=why)


def _drift(rule: Rule, known: Known) -> Outcome:
    newest: dict[tuple[str, str | None], Result] = {}
    for result in _within(rule, known.drift, known.now):
        newest[result.subject, result.feature] = result
    measured = [(value, r.feature or r.subject) for r in newest.values() if (value := _measured(r, rule.measure)) is not None]
    if not measured:
        return _unjudged(rule, f"no result of drift with {rule.measure} in the last {span(rule.window or 0)}")
    measured.sort(key=lambda one: -one[0])
    beyond = [name for value, name in measured if value > rule.threshold]
    value = measured[min(rule.features, len(measured)) - 1][0]
    why = f"{rule.measure} of {len(beyond)} of {len(measured)} features is above {rule.threshold:g}"
    why += f": {', '.join(beyond[:5])}" if beyond else f"; the greatest is that of {measured[0][1]}"
    return Outcome(rule=rule, fired=len(beyond) >= rule.features, value=value, limit=rule.threshold, why=why)


def _measured(result: Result, measure: str) -> float | None:
    value = result.details.get(measure)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and result.status != SKIPPED
    return float(value) if usable and value is not None else None


def _performance(rule: Rule, known: Known) -> Outcome:
    days: dict[int, tuple[str, float, float]] = {}
    for result in _within(rule, known.performance, known.now):
        metrics = result.details.get("metrics") or {}
        metric = rule.metric or next(iter(metrics), "")
        value, day = metrics.get(metric), str(result.details.get("day", ""))
        if value is not None and metric in METRICS and result.status != SKIPPED and day:
            days[parse_instant(day if "T" in day else f"{day}T00:00:00Z")] = (
                metric,
                float(value),
                float(result.details.get("judged") or 1),
            )
    if not days:
        return _unjudged(rule, f"no judged day in the results of the last {span(rule.window or 0)}")
    recent = [told for day, told in days.items() if day > max(days) - (rule.window or 0)]
    metric = recent[-1][0]
    alike = [(value, weight) for name, value, weight in recent if name == metric]
    value = sum(v * weight for v, weight in alike) / sum(weight for _, weight in alike)
    worse = value < rule.threshold if METRICS[metric] else value > rule.threshold
    why = f"{metric} of {len(alike)} days up to {format_instant(max(days))[:10]} is {value:.4g}, threshold {rule.threshold:g}"
    return Outcome(rule=rule, fired=worse, value=value, limit=rule.threshold, why=why)


def _within(rule: Rule, results: Iterable[Result], now: int) -> list[Result]:
    """Results of the rule's window, oldest first."""
    return sorted((r for r in results if now - (rule.window or 0) < r.at <= now), key=lambda r: r.at)


def made_at(path: Path) -> tuple[int, str]:
    """Up to when a training set could know, by its manifest: its cut-off, else its greatest as_of; and its service.

    Raises: DataError FS361, or FS492 where neither is there.
    """
    recorded = read(path)
    document = recorded.document
    cut_off, asked = document["known_before"], document["as_of"]
    made = _greatest_as_of(recorded.output, asked) if cut_off is None else parse_formatted(cut_off)
    return made, str(document["service"])


def _greatest_as_of(path: Path, asked: Mapping[str, Any]) -> int:
    """asked: `as_of` of the set's manifest."""
    import pyarrow.compute as pc

    from featurestore.retrieval.spine import instants, open_spine

    column = asked["column"]
    try:
        rows = open_spine(path, keys={}, as_of=column)
        newest = pc.max(instants(rows, column, timezone=asked["timezone"], as_of_format=asked["format"])).as_py()
    except FeatureStoreError as error:
        what = f"the greatest {column} cannot be read: {error.what}"
        raise DataError("FS492", what, where=path.name, hint="a training set beside its manifest") from None
    if newest is None:
        raise DataError("FS492", f"the training set has no {column}", where=path.name, hint="a set with rows")
    return int(newest)


def rows_since(
    sources: Iterable[SourceData], settings: Settings, made: int, now: int, windows: Iterable[int | None]
) -> dict[int | None, Since]:
    """By window: how many rows of all sources with times were known before `made`, and became known from then on. Raises:
    SourceError."""
    from featurestore.compiler.duckdb import arrivals as sql
    from featurestore.engines.duckdb import Session
    from featurestore.monitoring.arrivals import bind

    found = {window: Since(0, 0) for window in windows}
    for data in sources if found else ():
        if data.source.static:
            continue
        with Session(settings) as session:
            rows = bind(session, data)
            for window, so_far in found.items():
                given = {"now": now, "made": made, "since": made if window is None else now - window}
                (told,) = session.table(sql.known_between(rows), given).to_pylist()
                found[window] = Since(so_far.before + told["before"], so_far.since + told["since"])
    return found


__all__ = ["Decision", "Known", "Outcome", "Since", "decide", "made_at", "read", "rows_since"]

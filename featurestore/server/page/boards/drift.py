"""The drift board: of each subject its features by effect, each with both distributions over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from featurestore.monitoring.results import ALERT
from featurestore.server.page.boards.drawing import overlaid, sparkline
from featurestore.server.page.boards.findings import Findings, Series, number, numbers, part
from featurestore.server.page.boards.words import State, instant, short, state, text

CHECKS = ("drift", "performance")
PER_PAGE = 40
SUBJECTS, PER_SUBJECT = 8, 5
"""Subjects of the overview that are shown with their worst features, and how many of these."""
MOST_TESTS = 8
_WORDS = {
    "psi": "PSI", "ks": "KS", "js": "JS", "auc": "AUC", "chi_square": "Cramér's V", "wasserstein_std": "Wasserstein/σ",
    "wasserstein": "Wasserstein", "null_rate": "Δ NULL", "nan_rate": "Δ NaN", "new_categories": "new categories", "p": "p",
}  # fmt: skip
"""How a measure is called, in the order they are shown; others come after them, by their own names."""


@dataclass(frozen=True)
class Row:
    """One feature, or the subject as a whole. tests: (name, value) as text. over_time, values: pictures, empty without any."""

    name: str
    whole: bool
    state: State
    value: str
    threshold: str
    tests: Sequence[tuple[str, str]]
    values: Markup
    over_time: Markup
    what: str


@dataclass(frozen=True)
class Subject:
    """What was compared: its counts by state, and its features, worst first; what is told of it as a whole before them."""

    kind: str
    name: str
    at: str
    state: State
    alerts: int
    total: int
    series: Sequence[Series]


def subjects(found: Findings, checks: Sequence[str] = CHECKS) -> list[Subject]:
    """Those that were compared, the worst first."""
    by_name: dict[tuple[str, str], list[Series]] = {}
    for series in found.of(*checks):
        by_name.setdefault((series.latest.kind, series.latest.subject), []).append(series)
    return [_subject(kind, name, of) for (kind, name), of in by_name.items()]  # in order of their worst, as series are


def _subject(kind: str, name: str, of: Sequence[Series]) -> Subject:
    alerts = sum(s.latest.status == ALERT for s in of)
    ordered = sorted(of, key=lambda s: (s.latest.feature is not None, s.rank))
    return Subject(kind, name, instant(max(s.latest.at for s in of)), state(of[0].latest.status), alerts, len(of), ordered)


def row(series: Series) -> Row:
    r = series.latest
    name = r.feature or ("performance" if r.check == "performance" else "all features together")
    return Row(
        name=f"{name} (label)" if part(r.details, "label") is True else f"{name} ({r.check})" if r.check != "drift" else name,
        whole=r.feature is None or r.check == "performance" or part(r.details, "label") is True,
        state=state(r.status),
        value=short(number(r.value)),
        threshold=short(number(r.threshold)),
        tests=_tests(r.details),
        values=_distributions(name, r.details),
        over_time=over_time(series, name),
        what=text(r.what, 240),
    )


def _tests(details: Mapping[str, object]) -> list[tuple[str, str]]:
    """The measures. details: those of a comparison, or of a day's performance, which has them in "metrics"."""
    metrics = details.get("metrics")
    told = metrics if isinstance(metrics, Mapping) else details
    named = [name for name in _WORDS if name in told] + [name for name in told if name not in _WORDS]
    known = [(name, number(told[name])) for name in named]
    return [(_WORDS.get(name, text(name).replace("_", " ")), short(value)) for name, value in known if value is not None][
        :MOST_TESTS
    ]


def _distributions(name: str, details: Mapping[str, object]) -> Markup:
    reference, current = (numbers(part(details, side, "shares")) for side in ("reference", "current"))
    says = f"Distribution of {name}: filled is the reference, the outline is what was compared with it"
    return overlaid(reference, current, says)


def over_time(series: Series, name: str) -> Markup:
    """A line of the measure over the looks, with its threshold; nothing for a single look."""
    if len(series.points) < 2:
        return Markup("")
    values = [p.value for p in series.points]
    last = short(next((v for v in reversed(values) if v is not None), None))
    says = f"{series.latest.check.capitalize()} of {name} over {len(values)} looks, {last} at the last"
    return sparkline(values, says, limits=[p.threshold for p in series.points], width=120)


__all__ = ["CHECKS", "PER_PAGE", "PER_SUBJECT", "SUBJECTS", "Row", "Subject", "over_time", "row", "subjects"]

"""When a model is to be trained anew, as a TOML file says: rules, each with what it looks at and from where on it fires.

combine = "any"                     # or "all"
training_set = "train.parquet"      # relative to this file; --training-set goes over it
service = "fraud_v1"                # default: the training set's

[[rule]]
kind = "time"
threshold = "30d"                   # the age of the training set

[[rule]]
kind = "volume"
threshold = 0.2                     # rows known since, by those known then; or "50000 rows"
window = "30d"                      # of them only those of the last 30 days; may be left out

[[rule]]
kind = "drift"
threshold = 0.2
window = "7d"                       # results of these days; of each feature the newest
measure = "psi"                     # may be left out
features = 3                        # so many must be beyond it; default 1

[[rule]]
kind = "performance"
threshold = 0.8
window = "14d"                      # as far back from the newest day that was judged
metric = "auc"                      # default: the first that was computed
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featurestore.errors import DataError, DefinitionError, UsageError, nearest
from featurestore.intervals import parse_duration
from featurestore.monitoring.performance import METRICS

FORMAT = 1
COMBINE = ("any", "all")
_ROWS = re.compile(r"([1-9][0-9_]{0,17}) ?rows")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """written: the threshold as it stands in the file. threshold: microseconds (time), a share or a number (the others). rows:
    of volume, whether it is a number of rows. window: microseconds, None: all of the time."""

    kind: str
    written: str | float
    threshold: float
    window: int | None = None
    rows: bool = False
    measure: str = "psi"
    features: int = 1
    metric: str | None = None


@dataclass(frozen=True, kw_only=True)
class Policy:
    """training_set: a path that may be used from where the process is."""

    rules: tuple[Rule, ...]
    combine: str = "any"
    training_set: Path | None = None
    service: str | None = None

    @property
    def kinds(self) -> set[str]:
        return {rule.kind for rule in self.rules}

    @property
    def reach(self) -> int:
        """How far back its windows go, in microseconds."""
        return max((rule.window or 0 for rule in self.rules), default=0)

    def windows(self, kind: str) -> set[int | None]:
        return {rule.window for rule in self.rules if rule.kind == kind}


def read(path: Path) -> Policy:
    """The policy in a file. Raises: DataError FS493 if there is none, UsageError FS168 for what is no policy."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise DataError("FS493", f"no policy {path.name!r}", where=str(path.parent), hint="a TOML file with [[rule]]") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError("FS168", f"cannot be read as TOML: {error}", where=path.name) from None
    try:
        return _policy(given, path.parent)
    except UsageError as error:
        raise error.at(path.name) from None


def _policy(given: Mapping[str, Any], folder: Path) -> Policy:
    _known(given, ("format", "combine", "training_set", "service", "rule"), "the policy")
    if not isinstance(given.get("format", FORMAT), int) or given.get("format", FORMAT) > FORMAT:
        raise UsageError("FS168", f"format {given['format']!r} is not {FORMAT}", hint="a newer featurestore")
    combine = given.get("combine", "any")
    if combine not in COMBINE:
        raise UsageError("FS168", f"combine = {combine!r} is no choice", known=COMBINE)
    for name in ("training_set", "service"):
        if not isinstance(given.get(name, ""), str):
            raise UsageError("FS168", f"{name} = {given[name]!r} is no text")
    rules = given.get("rule", [])
    if not isinstance(rules, list) or not rules or not all(isinstance(rule, dict) for rule in rules):
        raise UsageError("FS168", "a policy has one rule or more", hint='[[rule]] kind = "time", threshold = "30d"')
    named = given.get("training_set")
    return Policy(
        rules=tuple(_rule(rule, f"rule {number}") for number, rule in enumerate(rules, 1)),
        combine=combine, training_set=None if named is None else folder / named, service=given.get("service"),
    )  # fmt: skip


def _rule(given: Mapping[str, Any], name: str) -> Rule:
    kind = given.get("kind", "")
    if not isinstance(kind, str) or kind not in _KINDS:
        what = f"{name}: kind = {kind!r} is no kind" if "kind" in given else f"{name} has no kind"
        raise UsageError("FS168", what, known=_KINDS, hint=nearest(str(kind), _KINDS))
    threshold, besides, needed = _KINDS[kind]
    _known(given, ("kind", "threshold", *besides), name)
    for key in ("threshold", *needed):
        if key not in given:
            hint = "window = '7d'" if key == "window" else ""
            raise UsageError("FS168", f"{name}, of kind {kind!r}, has no {key}", hint=hint)
    read = threshold(given["threshold"], f"{name}: threshold")
    others = {key: _BESIDES[key](given[key], f"{name}: {key}") for key in besides if key in given}
    return Rule(kind=kind, written=given["threshold"], **read, **others)


def _known(given: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    for key in given:
        if key not in known:
            raise UsageError("FS168", f"{what} takes no {key!r}", known=known, hint=nearest(key, known))


def _duration(value: Any, what: str) -> int:
    try:
        micros = parse_duration(value if isinstance(value, str) else repr(value), what=what).micros
    except DefinitionError as error:
        raise UsageError("FS168", error.what, hint=error.hint) from None
    if not micros:
        raise UsageError("FS168", f"{what} is no time at all", hint="'7d'")
    return micros


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise UsageError("FS168", f"{what} = {value!r} is no number")
    return float(value)


def _positive(value: Any, what: str) -> float:
    number = _number(value, what)
    if number <= 0:
        raise UsageError("FS168", f"{what} = {value!r} is not above 0")
    return number


def _volume(value: Any, what: str) -> dict[str, Any]:
    rows = _ROWS.fullmatch(value) if isinstance(value, str) else None
    if isinstance(value, str) and not rows:
        raise UsageError("FS168", f"{what} = {value!r} is neither a share nor rows", hint="0.2, or '50000 rows'")
    return {"threshold": float(rows[1].replace("_", "")), "rows": True} if rows else {"threshold": _positive(value, what)}


def _count(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError("FS168", f"{what} = {value!r} is no number of features")
    return value


def _metric(value: Any, what: str) -> str:
    if not isinstance(value, str) or value not in METRICS:
        raise UsageError("FS168", f"{what} = {value!r} is no metric", known=METRICS, hint=nearest(str(value), METRICS))
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError("FS168", f"{what} = {value!r} is no name")
    return value


_Read = Callable[[Any, str], Any]
_BESIDES: Mapping[str, _Read] = {"window": _duration, "measure": _text, "features": _count, "metric": _metric}
_KINDS: Mapping[str, tuple[_Read, tuple[str, ...], tuple[str, ...]]] = {
    "time": (lambda value, what: {"threshold": _duration(value, what)}, (), ()),
    "volume": (_volume, ("window",), ()),
    "drift": (lambda value, what: {"threshold": _positive(value, what)}, ("window", "measure", "features"), ("window",)),
    "performance": (lambda value, what: {"threshold": _number(value, what)}, ("window", "metric"), ("window",)),
}
"""By kind: how its threshold is read, what else it takes, and what of that it needs."""

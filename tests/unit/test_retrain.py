"""Policies, rule by rule: what fires, what does not, what cannot be judged, and what is no policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from featurestore.errors import FeatureStoreError
from featurestore.intervals import MICROS_PER_DAY as DAY
from featurestore.intervals import parse_instant
from featurestore.monitoring.policy import read
from featurestore.monitoring.results import SKIPPED, Result
from featurestore.monitoring.retrain import Decision, Known, Since, decide

NOW = parse_instant("2026-03-01T00:00:00Z")


def policy(folder: Path, text: str) -> Path:
    path = folder / "retrain.toml"
    path.write_text(text, encoding="utf-8")
    return path


def decided(folder: Path, text: str, **known) -> Decision:
    found = decide(read(policy(folder, text)), Known(now=NOW, since=known.pop("since", {}), **known), "s")
    json.dumps(found.to_dict(), allow_nan=False)
    return found


def rule(kind: str, threshold: str, *besides: str) -> str:
    return "\n".join(["[[rule]]", f'kind = "{kind}"', f"threshold = {threshold}", *besides, ""])


def told(decision: Decision) -> tuple[bool, bool, float | None]:
    (one,) = decision.rules
    return one.fired, one.judged, one.value


@pytest.mark.parametrize("made, fired", [(NOW - 30 * DAY, False), (NOW - 30 * DAY - 1, True), (NOW + DAY, False), (None, None)])
def test_a_training_set_grows_old(tmp_path: Path, made: int | None, fired: bool | None):
    found = decided(tmp_path, rule("time", '"30d"'), made=made)
    assert (found.rules[0].fired, found.rules[0].judged) == (bool(fired), fired is not None)
    assert found.retrain is bool(fired)
    assert found.judged is (fired is not None)


@pytest.mark.parametrize(
    "threshold, window, before, since, expected",
    [
        ("0.2", None, 1000, 200, (False, True, 0.2)),
        ("0.2", None, 1000, 201, (True, True, 0.201)),
        ("0.2", None, 0, 5, (False, False, None)),
        ('"5 rows"', None, 0, 6, (True, True, 6.0)),
        ('"10_000 rows"', None, 7, 10_000, (False, True, 10_000.0)),
        ("1", 'window = "7d"', 10, 11, (True, True, 1.1)),
    ],
)
def test_rows_come_in(tmp_path: Path, threshold, window, before, since, expected):
    text = rule("volume", threshold, *([window] if window else []))
    length = 7 * DAY if window else None
    assert told(decided(tmp_path, text, made=NOW - DAY, since={length: Since(before, since)})) == expected
    assert told(decided(tmp_path, text)) == (False, False, None), "without a training set"


def drifted(feature: str, psi: float | None, days: float = 1, **besides) -> Result:
    at = NOW - round(days * DAY)
    return Result(
        at=at, check="drift", kind="service", subject="s", feature=feature, details={"psi": psi, "ks": 0.5}, **besides
    )


def test_features_drift(tmp_path: Path):
    text = rule("drift", "0.2", 'window = "7d"')
    assert told(decided(tmp_path, text, drift=[drifted("a", 0.1), drifted("b", 0.2)])) == (False, True, 0.2)
    assert told(decided(tmp_path, text, drift=[drifted("a", 0.1), drifted("b", 0.21)])) == (True, True, 0.21)
    assert told(decided(tmp_path, text, drift=[drifted("a", 0.9, 3), drifted("a", 0.1, 2)])) == (False, True, 0.1), "the newest"
    assert told(decided(tmp_path, text, drift=[drifted("a", 0.9, 7), drifted("a", 0.1, 8)])) == (False, False, None), "too old"
    assert told(decided(tmp_path, text, drift=[drifted("a", 0.9, -1)])) == (False, False, None), "after now"
    assert told(decided(tmp_path, text, drift=[drifted("a", None), drifted("b", 5.0, status=SKIPPED)])) == (False, False, None)
    three = [drifted("a", 0.5), drifted("b", 0.4), drifted("c", 0.1)]
    assert told(decided(tmp_path, text + "features = 2\n", drift=three)) == (True, True, 0.4)
    assert told(decided(tmp_path, text + "features = 3\n", drift=three)) == (False, True, 0.1)
    assert told(decided(tmp_path, text + "features = 9\n", drift=three)) == (False, True, 0.1)
    assert told(decided(tmp_path, text + 'measure = "ks"\n', drift=three)) == (True, True, 0.5)
    assert told(decided(tmp_path, text + 'measure = "js"\n', drift=three)) == (False, False, None)


def judged(day: int, metrics: dict[str, float | None], rows: int = 100, days_ago: float = 1, **besides) -> Result:
    details = {"day": f"2026-02-{day:02}", "judged": rows, "metrics": metrics}
    return Result(at=NOW - round(days_ago * DAY), check="performance", kind="service", subject="s", details=details, **besides)


def test_a_model_does_worse(tmp_path: Path):
    text = rule("performance", "0.8", 'window = "7d"', 'metric = "auc"')
    days = [judged(1, {"auc": 0.1}), judged(10, {"auc": 0.9}, 300), judged(11, {"auc": 0.5}, 100)]
    assert told(decided(tmp_path, text, performance=days)) == (False, True, 0.8), "days a week back, by their rows"
    worse = [*days, judged(11, {"auc": 0.49}, 100, 0.5)]
    assert told(decided(tmp_path, text, performance=worse))[:2] == (True, True), "a day that was judged again"
    assert (
        told(decided(tmp_path, text, performance=[judged(9, {"auc": None}), judged(8, {"auc": 0.1}, status=SKIPPED)]))[1]
        is False
    )
    assert told(decided(tmp_path, text, performance=[judged(9, {"auc": 0.1}, days_ago=7)]))[1] is False, "judged too long ago"
    errors = rule("performance", "3", 'window = "7d"')
    assert told(decided(tmp_path, errors, performance=[judged(9, {"rmse": 3.0, "mae": 9.0})])) == (False, True, 3.0)
    assert told(decided(tmp_path, errors, performance=[judged(9, {"rmse": 3.1})])) == (True, True, 3.1), "less is better"


def test_any_or_all_rules(tmp_path: Path):
    both = rule("time", '"1d"') + rule("volume", "0.5")
    for combine, since, expected in (("any", 0, True), ("all", 0, False), ("any", 60, True), ("all", 60, True)):
        text = f'combine = "{combine}"\n{both}'
        assert decided(tmp_path, text, made=NOW - 2 * DAY, since={None: Since(100, since)}).retrain is expected
    unknown = 'combine = "all"\n' + rule("time", '"1d"') + rule("drift", "0.5", 'window = "1d"')
    found = decided(tmp_path, unknown, made=NOW - 2 * DAY)
    assert (found.retrain, found.judged) == (False, True), "what cannot be judged does not fire"


@pytest.mark.parametrize(
    "text, what",
    [
        ("", "one rule or more"),
        ("rule = 3", "one rule or more"),
        ("rule = [1]", "one rule or more"),
        ("[[rule]\n", "TOML"),
        ('[[rule]]\nthreshold = "1d"', "rule 1 has no kind"),
        (rule("tiem", '"1d"'), "kind = 'tiem'"),
        ("[[rule]]\nkind = 3", "kind = 3"),
        ("[[rule]]\nkind = ['time']", "kind = ['time']"),
        ('[[rule]]\nkind = "time"', "no threshold"),
        (rule("time", '"1d"') + rule("drift", "0.2"), "rule 2, of kind 'drift', has no window"),
        (rule("performance", "0.2"), "no window"),
        (rule("time", '"-1d"'), "not a duration"),
        (rule("time", "30"), "not a duration"),
        (rule("time", "true"), "not a duration"),
        (rule("time", '"0d"'), "no time at all"),
        (rule("time", '"1d"', 'window = "7d"'), "no 'window'"),
        (rule("time", '"1d"', 'treshold = "7d"'), "no 'treshold'"),
        (rule("volume", '"many"'), "neither a share nor rows"),
        (rule("volume", '"-5 rows"'), "neither a share nor rows"),
        (rule("volume", "-0.5"), "not above 0"),
        (rule("volume", "0"), "not above 0"),
        (rule("volume", "true"), "no number"),
        (rule("volume", "[1]"), "no number"),
        (rule("volume", "0.5", 'window = "-7d"'), "not a duration"),
        (rule("volume", "0.5", "window = -7"), "not a duration"),
        (rule("drift", "nan", 'window = "7d"'), "no number"),
        (rule("drift", "1" + "0" * 400, 'window = "7d"'), "no number"),
        (rule("drift", "inf", 'window = "7d"'), "no number"),
        (rule("drift", '"0.2"', 'window = "7d"'), "no number"),
        (rule("drift", "0.2", 'window = "1 month"'), "no fixed length"),
        (rule("drift", "0.2", 'window = "7d"', "features = 0"), "no number of features"),
        (rule("drift", "0.2", 'window = "7d"', "features = 1.5"), "no number of features"),
        (rule("drift", "0.2", 'window = "7d"', "measure = 1"), "no name"),
        (rule("performance", "0.2", 'window = "7d"', 'metric = "acu"'), "no metric"),
        (rule("performance", "0.2", 'window = "7d"', "metric = []"), "no metric"),
        ('combine = "most"\n' + rule("time", '"1d"'), "combine = 'most'"),
        ("combine = []\n" + rule("time", '"1d"'), "combine = []"),
        ("training_set = 3\n" + rule("time", '"1d"'), "training_set = 3"),
        ("format = 2\n" + rule("time", '"1d"'), "format 2"),
        ('format = "1"\n' + rule("time", '"1d"'), "format '1'"),
        ("rules = []\n" + rule("time", '"1d"'), "no 'rules'"),
    ],
)  # fmt: skip
def test_what_is_no_policy(tmp_path: Path, text: str, what: str):
    with pytest.raises(FeatureStoreError) as error:
        read(policy(tmp_path, text))
    assert (error.value.code, error.value.exit_code) == ("FS168", 2)
    assert what in error.value.what
    assert "retrain.toml" in error.value.where


def test_no_policy_at_all(tmp_path: Path):
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(FeatureStoreError) as error:
            read(path)
        assert (error.value.code, error.value.exit_code) == ("FS493", 4)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(FeatureStoreError, match="TOML"):
        read(tmp_path / "bytes.toml")

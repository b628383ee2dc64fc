"""Performance: metrics beside scikit-learn, slices of time, and what is not judged."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics

from featurestore.errors import FeatureStoreError
from featurestore.monitoring import performance as judged
from featurestore.monitoring.performance import Wanted, performance
from featurestore.monitoring.results import ALERT, OK, SKIPPED

DAY = 86_400 * 10**6
NAMES = {"service": "s", "label": "y", "score": "p"}


def judge(at, score, label, until=10**17, **wanted):
    columns = [pa.chunked_array([pa.array(column)]) for column in (score, label)]
    return performance(np.array(at, np.int64), *columns, until, Wanted(**{"min_rows": 1, **wanted}), names=NAMES)


def test_metrics_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    for n in (2, 7, 500):
        for ties in (3, 10**6):
            truth = np.r_[0, 1, rng.integers(0, 2, n - 2)]
            scores = np.clip(np.round(rng.random(n) * ties) / ties, 1e-9, 1 - 1e-9)
            assert judged.auc(scores, truth) == pytest.approx(metrics.roc_auc_score(truth, scores))
            assert judged.logloss(scores, truth) == pytest.approx(metrics.log_loss(truth, scores))
            assert judged.rmse(scores, truth) == pytest.approx(metrics.mean_squared_error(truth, scores) ** 0.5)
            assert judged.mae(scores, truth) == pytest.approx(metrics.mean_absolute_error(truth, scores))
    assert judged.auc(np.array([0.5, 0.5]), np.array([1, 1])) is None
    assert judged.logloss(np.array([0.0, 1.0]), np.array([1, 0])) == pytest.approx(-np.log(1e-15), rel=1e-3)


def test_a_day_is_judged_when_the_last_of_its_labels_is_settled():
    at = [0, DAY - 1, DAY, 2 * DAY - 1, 2 * DAY]
    found = judge(at, [0.1, 0.9, 0.2, 0.8, 0.5], [False, True, True, None, None], until=2 * DAY - 2)
    assert [(d.start // DAY, d.status, d.rows, d.judged) for d in found.days] == [
        (0, OK, 2, 2), (1, SKIPPED, 2, 0), (2, SKIPPED, 1, 0),
    ]  # fmt: skip
    assert found.days[1].what == "immature: 1 of its labels are not settled"
    settled = judge(at, [0.1, 0.9, 0.2, 0.8, 0.5], [False, True, True, False, None], until=2 * DAY - 1)
    assert [d.status for d in settled.days] == [OK, OK, SKIPPED]
    assert {d.status for d in judge(at, [0.5] * 5, [None] * 5, until=None, metrics=["auc"]).days} == {SKIPPED}


def test_slices_begin_at_multiples_since_1970_also_before():
    found = judge([-1, 0, 6 * DAY], [0.5] * 3, [True] * 3, slice=7 * DAY)
    assert [(d.start // DAY, d.rows) for d in found.days] == [(-7, 1), (0, 2)]
    hours = judge([0, DAY // 2], [0.5] * 2, [True] * 2, slice=DAY // 4)
    assert [d.to_json()["day"] for d in hours.days] == ["1970-01-01", "1970-01-01T12:00:00.000000Z"]


def test_rows_without_score_or_label_are_counted_and_not_judged():
    found = judge([0] * 5, [0.5, None, float("nan"), float("inf"), 0.1], [1, 2, 3, 4, None])
    assert (found.days[0].judged, found.without_score, found.without_label) == (1, 3, 1)
    assert found.days[0].metrics == {"rmse": 0.5, "mae": 0.5}


def test_thresholds_say_at_least_for_auc_and_at_most_for_losses():
    at, scores, labels = [0, 0, DAY, DAY], [0.1, 0.9, 0.9, 0.1], [False, True, False, True]
    assert [d.status for d in judge(at, scores, labels, thresholds={"auc": 0.5}).days] == [OK, ALERT]
    found = judge(at, scores, labels, thresholds={"logloss": 1.0}, metrics=["auc"])
    assert [d.what for d in found.alerts] == ["logloss 2.303 > 1"]
    assert [r.status for r in found.results(5)] == [OK, ALERT]
    json.dumps([found.to_json(), *(r.to_json() for r in found.results(5))], allow_nan=False)
    few = judge(at, scores, labels, thresholds={"auc": 0.5}, min_rows=3)
    assert [(d.status, d.what) for d in few.days] == [(SKIPPED, "2 rows with score and label, 3 needed")] * 2


def test_a_count_says_yes_above_nothing_when_classes_are_asked_for():
    assert judge([0] * 3, [0.1, 0.8, 0.9], [0, 1, 5], metrics=["auc"]).days[0].metrics == {"auc": 1.0}
    empty = judge([], pa.array([], pa.float64()), pa.array([], pa.bool_()))
    assert (list(empty.days), empty.ok) == ([], True)


@pytest.mark.parametrize(
    "refused",
    [
        lambda: judge([0], [0.5], [True], metrics=["f1"]),
        lambda: judge([0], [0.5], [True], metrics=["auc", "rmse"]),
        lambda: judge([0], ["high"], [True]),
        lambda: judge([0], [1.5], [True]),
        lambda: judge([0], [0.5], ["yes"], metrics=["mae"]),
        lambda: judge([0], [0.5], [True], thresholds={"auc": float("nan")}),
    ],
)
def test_what_cannot_be_judged(refused):
    with pytest.raises(FeatureStoreError) as error:
        refused()
    assert error.value.code == "FS396"


def test_a_threshold_alone_is_the_metric_that_is_asked_for():
    assert Wanted(thresholds={"auc": 0.8}).of(pa.float64()) == ("auc",)
    assert Wanted(metrics=["mae"], thresholds={"rmse": 1.0}).of(pa.float64()) == ("mae", "rmse")
    assert Wanted().of(pa.float64()) == ("rmse", "mae")
    assert Wanted().of(pa.bool_()) == ("auc", "logloss")

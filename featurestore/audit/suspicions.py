"""What no single cell shows: a feature that knows the label too well, training rows that meet the rows they are tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.audit.columns import read
from featurestore.audit.findings import Suspicion
from featurestore.audit.judged import AS_OF, Judged
from featurestore.audit.wrong import Wrong
from featurestore.dtypes import DOUBLE, DType
from featurestore.errors import UsageError, nearest
from featurestore.intervals import format_instant

if TYPE_CHECKING:
    import polars as pl

FAR_ABOVE = 0.05
"""By how much more a feature may tell of the label than its honest values do, as AUC or as correlation."""
ALMOST_THE_LABEL = 0.98
TESTS = ("test", "validation", "valid", "val", "holdout", "eval", "dev")
"""What the rows are called that a model is tested on. Others than these and "train…" are left aside."""


def of_label(
    file: Judged, label: str, types: Mapping[str, DType], wrong: Mapping[str, Wrong]
) -> tuple[dict[str, Any], list[Suspicion]]:
    """({"column", "rows", "measure", "features": {name: {"found", "honest"}}}, what is suspicious).

    The measure is the area under the ROC curve of the feature alone for a label of two values, or 1 minus it if that is more,
    and for others Spearman's correlation without its sign. Features that are no numbers are left out. honest: of the values
    F gives.
    Raises: UsageError FS110 for a label that is not there or is no number.
    """
    if label not in file.names:
        raise UsageError("FS110", f"the file has no label column {label!r}", known=file.names, hint=nearest(label, file.names))
    answer = _numbers(file.column(label))
    if answer is None:
        raise UsageError("FS110", f"label column {label!r} is no number and no flag, so nothing can be compared with it")
    binary = answer.drop_nulls().n_unique() <= 2
    measure = "auc" if binary else "correlation"
    features: dict[str, dict[str, float | None]] = {}
    suspicions = []
    for name, dtype in types.items():
        if name not in file.names or not (dtype.is_numeric or dtype.name == "bool"):
            continue
        found, honest = _both(file, name, dtype, wrong.get(name))
        one, other = (_strength(values, answer, binary) for values in (found, honest))
        features[name] = {"found": one, "honest": other}
        suspicions += _suspicious(name, one, other, measure)
    rows = len(answer) - answer.null_count()
    return {"column": label, "rows": rows, "measure": measure, "features": features}, suspicions


def _both(file: Judged, name: str, dtype: DType, wrong: Wrong | None) -> tuple[pl.Series, pl.Series]:
    """A feature's values as numbers: those found, and those that are true."""
    values, _ = read(file.column(name), dtype, file.reading.timezone)
    found = _numbers(values)
    assert found is not None
    if wrong is None:
        return found, found
    truth = _numbers(wrong.truth)
    assert truth is not None
    return found, found.clone().scatter(wrong.rows.to_pylist(), truth)


def _numbers(values: pa.ChunkedArray | pa.Array) -> pl.Series | None:
    """Flags, numbers and text that reads as such as doubles, NaN as NULL; None for a column of other values."""
    import polars as pl

    plain = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_boolean(plain.type):
        plain = plain.cast(pa.int8())
    numbers, bad = read(pa.chunked_array([plain]), DOUBLE)
    if bad is not None:
        words = pc.is_in(plain.cast(pa.string()), pa.array(["true", "false", "True", "False"]))
        if not pc.all(pc.or_(words, plain.is_null()), min_count=0).as_py():
            return None
        numbers = pc.is_in(plain.cast(pa.string()), pa.array(["true", "True"])).cast(pa.float64())
        numbers = pc.if_else(plain.is_valid(), numbers, None)
    series = pl.Series(numbers)
    return series.fill_nan(None)


def _strength(feature: pl.Series, label: pl.Series, binary: bool) -> float | None:
    """How much a feature tells of the label, from 0.5 (AUC) or 0 (correlation) to 1; a NULL is a value below all others. None
    where either has one value only."""
    import polars as pl

    pairs = pl.DataFrame({"x": feature, "y": label}).filter(pl.col("y").is_not_null() & pl.col("y").is_finite())
    ranked = pairs.with_columns(pl.col("x").fill_null(float("-inf")).rank("average"))
    if ranked["x"].n_unique() < 2 or ranked["y"].n_unique() < 2:
        return None
    if not binary:
        return abs(float(ranked.select(pl.corr("x", pl.col("y").rank("average"))).item()))
    positive = ranked.filter(pl.col("y") == ranked["y"].max())
    n, m = len(positive), len(ranked) - len(positive)
    area = (float(positive["x"].sum()) - n * (n + 1) / 2) / (n * m)
    return max(area, 1 - area)


def _suspicious(name: str, found: float | None, honest: float | None, measure: str) -> list[Suspicion]:
    if found is None:
        return []
    measured = {"measure": measure, "found": found, "honest": honest}
    if honest is not None and found > honest + FAR_ABOVE:
        what = f"{name} tells more of the label ({measure} {found:.3f}) than its honest values do ({honest:.3f})"
        return [Suspicion("label", what, "leak", name, measured)]
    if found >= ALMOST_THE_LABEL:
        return [Suspicion("label", f"{name} almost is the label ({measure} {found:.3f})", "warning", name, measured)]
    return []


# Across splits.


def of_splits(file: Judged, split: str, questions: pa.Table, features: Sequence[str]) -> list[Suspicion]:
    """Training rows as late as a row they are tested on, twins of tested rows, and entities on both sides.

    Raises: UsageError FS102 for a column that is not there, or that names no training or no test rows.
    """
    import polars as pl

    if split not in file.names:
        raise UsageError("FS102", f"the file has no column {split!r}", known=file.names, hint=nearest(split, file.names))
    side = file.column(split).cast(pa.string())
    keys = [name for name in questions.column_names if name != AS_OF]
    frame = pl.DataFrame(questions.select(keys)).with_columns(
        pl.Series("__at", questions[AS_OF].cast(pa.int64())), pl.Series("__side", side).str.to_lowercase()
    )
    own = [name for name in features if name in file.names]
    if own:
        values = pl.DataFrame(pa.table({f"__{name}": file.column(name) for name in own}))
        frame = frame.with_columns(values.hash_rows().alias("__values"))
    train = frame.filter(pl.col("__side").str.starts_with("train"))
    test = frame.filter(pl.col("__side").is_in(list(TESTS)))
    if not len(train) or not len(test):
        known = sorted({str(value) for value in frame["__side"].unique().to_list()})
        raise UsageError(
            "FS102", f"column {split!r} names no training rows or no test rows", known=known, hint='"train", "test"'
        )
    return [*_time(train, test), *_duplicates(train, test, keys, bool(own)), *_groups(train, test, keys)]


def _time(train: pl.DataFrame, test: pl.DataFrame) -> list[Suspicion]:
    import polars as pl

    first = int(test.select(pl.col("__at").min()).item())
    late = len(train.filter(pl.col("__at") >= first))
    if not late:
        return []
    what = f"{late:,} of {len(train):,} training rows are not before the first test row ({format_instant(first)})"
    return [Suspicion("time", what, "leak", measured={"rows": late, "of": len(train), "first_test": format_instant(first)})]


def _duplicates(train: pl.DataFrame, test: pl.DataFrame, keys: list[str], valued: bool) -> list[Suspicion]:
    """Rows of one question on both sides; rows of an entity that differ in no feature are near to it."""
    twins = len(test.join(train.select([*keys, "__at"]).unique(), on=[*keys, "__at"], how="semi", nulls_equal=True))
    found = []
    if twins:
        what = f"{twins:,} of {len(test):,} test rows ask what a training row asks: same keys, same as_of"
        found.append(Suspicion("duplicates", what, "leak", measured={"rows": twins, "of": len(test)}))
    if valued:
        by = [*keys, "__values"]
        alike = len(test.join(train.select(by).unique(), on=by, how="semi", nulls_equal=True)) - twins
        if alike > 0:
            what = f"{alike:,} of {len(test):,} test rows have the keys and features of a training row of another instant"
            found.append(Suspicion("duplicates", what, measured={"rows": alike, "of": len(test), "same": "features"}))
    return found


def _groups(train: pl.DataFrame, test: pl.DataFrame, keys: list[str]) -> list[Suspicion]:
    found = []
    for key in keys:
        both = len(test.filter(test[key].is_not_null()).join(train.select(key).unique(), on=key, how="semi"))
        if both:
            what = f"{both:,} of {len(test):,} test rows have a {key} that is in training rows too"
            found.append(Suspicion("group", what, measured={"key": key, "rows": both, "of": len(test)}))
    return found


__all__ = ["of_label", "of_splits"]

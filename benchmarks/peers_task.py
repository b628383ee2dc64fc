"""Windows by other tools, each in an environment of its own, where our package is not.

    python peers_task.py polars '{"folder": …, "output": …}'

A task reads a folder's Parquet files and writes `row` (the number of the spine row), count, sum, mean and max over three
windows to `output`, as its users would: the fastest way we found in its own words. It prints one line of JSON: seconds from
files to a file, imports done; peak memory in MB; its version. Where a tool needs the spine in another shape first, making
that is not timed.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

DAYS = (1, 7, 30)
THREADS = "2"


class Stopwatch:
    """Seconds on the clock, and seconds of all threads on the processors."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        return {"seconds": time.perf_counter() - self._wall, "cpu_seconds": time.process_time() - self._cpu}


def columns() -> list[str]:
    return [f"{what}_{d}d" for d in DAYS for what in ("count", "v_sum", "v_mean", "v_max")]


def polars(folder: str, output: str) -> dict[str, Any]:
    """Facts and spine in one frame, `rolling_*_by` over the key: windows closed on the left never see their own instant."""
    os.environ["POLARS_MAX_THREADS"] = THREADS
    import polars as pl

    watch = Stopwatch()
    facts = pl.scan_parquet(f"{folder}/facts_*.parquet").select("key", t="e", v="v", one=pl.lit(1, pl.Int64))
    spine = pl.scan_parquet(f"{folder}/spine.parquet").with_row_index("row").select("row", "key", t="as_of")
    rolled = []
    for d in DAYS:
        window: dict[str, Any] = {"by": "t", "window_size": f"{d}d", "closed": "left"}
        rolled += [
            pl.col("one").rolling_sum_by(**window).over("key").alias(f"count_{d}d"),
            pl.col("v").rolling_sum_by(**window).over("key").alias(f"v_sum_{d}d"),
            pl.col("v").rolling_max_by(**window).over("key").alias(f"v_max_{d}d"),
        ]
    # Polars' sum of nothing is 0 where we, pandas and SQL have no value.
    sums = [pl.when(pl.col(f"count_{d}d") > 0).then(pl.col(f"v_sum_{d}d")).alias(f"v_sum_{d}d") for d in DAYS]
    means = [(pl.col(f"v_sum_{d}d") / pl.col(f"count_{d}d")).alias(f"v_mean_{d}d") for d in DAYS]
    both = pl.concat([facts, spine], how="diagonal").sort("key", "t")
    found = both.with_columns(rolled).filter(pl.col("row").is_not_null()).with_columns(pl.col("^count_.*$").fill_null(0))
    found = found.with_columns(sums).with_columns(means).sort("row")
    found.select("row", *columns()).collect().write_parquet(output)
    return {**watch.read(), "version": version("polars")}


def pandas(folder: str, output: str) -> dict[str, Any]:
    """Facts and spine in one frame, `groupby().rolling()` with windows closed on the left."""
    import pandas as pd

    watch = Stopwatch()
    files = sorted(Path(folder).glob("facts_*.parquet"))
    facts = pd.concat([pd.read_parquet(f, columns=["key", "e", "v"]) for f in files]).rename(columns={"e": "t"})
    spine = pd.read_parquet(f"{folder}/spine.parquet").rename(columns={"as_of": "t"})
    spine["row"] = range(len(spine))
    both = pd.concat([facts, spine]).sort_values(["key", "t"], ignore_index=True)
    asks = both["row"].notna()
    found = both.loc[asks, ["row"]].astype("int64")
    for d in DAYS:
        window = both.groupby("key").rolling(f"{d}D", on="t", closed="left")["v"]
        for what, name in (("count", "count"), ("sum", "v_sum"), ("max", "v_max")):
            values = getattr(window, what)().to_numpy()
            found[f"{name}_{d}d"] = values[asks.to_numpy()]
        found[f"count_{d}d"] = found[f"count_{d}d"].fillna(0).astype("int64")
        found[f"v_mean_{d}d"] = found[f"v_sum_{d}d"] / found[f"count_{d}d"]
    found.sort_values("row")[["row", *columns()]].to_parquet(output, index=False)
    return {**watch.read(), "version": version("pandas")}


def timefence(folder: str, output: str) -> dict[str, Any]:
    """Its way to a window: a window function at the events, and the newest of those values carried to each label."""
    import duckdb
    import timefence as tf

    labels, built = f"{output}.labels.parquet", f"{output}.built.parquet"
    duckdb.sql("SET enable_progress_bar = false")
    duckdb.sql(f"""COPY (SELECT key, as_of, file_row_number AS row FROM read_parquet('{folder}/spine.parquet',
                   file_row_number = true)) TO '{labels}'""")
    wanted = ", ".join(
        f"count(*) OVER w{d} AS count_{d}d, sum(v) OVER w{d} AS v_sum_{d}d, avg(v) OVER w{d} AS v_mean_{d}d, "
        f"max(v) OVER w{d} AS v_max_{d}d"
        for d in DAYS
    )
    frames = ", ".join(
        f"w{d} AS (PARTITION BY key ORDER BY e RANGE BETWEEN INTERVAL {d} DAY PRECEDING AND CURRENT ROW)" for d in DAYS
    )
    watch = Stopwatch()
    source = tf.Source(path=f"{folder}/facts_*.parquet", keys=["key"], timestamp="e")
    feature = tf.Feature(
        source=source, name="w", on_duplicate="keep_any",
        sql=f"SELECT key, e AS feature_time, {wanted} FROM {{source}} WINDOW {frames}",
    )  # fmt: skip
    tf.build(labels=tf.Labels(path=labels, keys=["key"], label_time="as_of", target=["row"]), features=[feature], output=built)
    spent = watch.read()
    renamed = ", ".join(f"w__{c} AS {c}" for c in columns())
    duckdb.sql(f"COPY (SELECT row, {renamed} FROM read_parquet('{built}') ORDER BY row) TO '{output}'")
    return {**spent, "version": version("timefence")}


def audit_timefence(folder: str, file: str) -> dict[str, Any]:
    """Its audit by building anew, of five latest values."""
    import duckdb
    import timefence as tf

    duckdb.sql("SET enable_progress_bar = false")
    watch = Stopwatch()
    source = tf.Source(path=f"{folder}/facts_*.parquet", keys=["key"], timestamp="e")
    feature = tf.Feature(source=source, name="newest", columns=[f"v{n}" for n in range(1, 6)], on_duplicate="keep_any")
    told = tf.audit(file, features=[feature], keys=["key"], label_time="as_of", max_lookback="3650d")
    spent, found = watch.read(), told.features["newest"]
    return {**spent, "version": version("timefence"), "rows": found.total_rows, "leaky": found.leaky_row_count}


def featuretools(folder: str, output: str, rows: int) -> dict[str, Any]:
    """Deep feature synthesis with a cut-off time per spine row and a training window, once per window.

    rows: it answers so many of the spine's first rows only, because every cut-off time is a run of its own.
    """
    import featuretools as ft
    import pandas as pd

    watch = Stopwatch()
    files = sorted(Path(folder).glob("facts_*.parquet"))
    facts = pd.concat([pd.read_parquet(f, columns=["key", "e", "v"]) for f in files], ignore_index=True)
    facts["id"], facts["e"] = range(len(facts)), facts["e"].dt.tz_localize(None)
    spine = pd.read_parquet(f"{folder}/spine.parquet").head(rows)
    spine["as_of"] = spine["as_of"].dt.tz_localize(None)
    spine["row"] = range(len(spine))
    entities = ft.EntitySet("bench")
    entities.add_dataframe(dataframe_name="keys", dataframe=pd.DataFrame({"key": facts["key"].unique()}), index="key")
    entities.add_dataframe(dataframe_name="facts", dataframe=facts, index="id", time_index="e")
    entities.add_relationship("keys", "key", "facts", "key")
    cutoffs = spine.rename(columns={"as_of": "time"})[["key", "time", "row"]]
    found = spine[["row"]]
    for d in DAYS:
        table, _ = ft.dfs(
            entityset=entities, target_dataframe_name="keys", cutoff_time=cutoffs, training_window=f"{d} days",
            agg_primitives=["count", "sum", "mean", "max"], trans_primitives=[], include_cutoff_time=False, max_depth=1,
        )  # fmt: skip
        names = {"COUNT(facts)": "count", "SUM(facts.v)": "v_sum", "MEAN(facts.v)": "v_mean", "MAX(facts.v)": "v_max"}
        table = table.rename(columns={theirs: f"{ours}_{d}d" for theirs, ours in names.items()})
        table[f"v_sum_{d}d"] = table[f"v_sum_{d}d"].where(table[f"count_{d}d"] > 0)  # as with Polars
        found = found.merge(table[["row", *(f"{n}_{d}d" for n in names.values())]], on="row")
    found[["row", *columns()]].to_parquet(output, index=False)
    return {**watch.read(), "version": version("featuretools")}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "polars": polars, "pandas": pandas, "timefence": timefence, "featuretools": featuretools,
    "audit_timefence": audit_timefence,
}  # fmt: skip

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    said = TASKS[sys.argv[1]](**json.loads(sys.argv[2]))
    scale = 1 if sys.platform == "darwin" else 1024
    print(json.dumps({"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6, **said}))

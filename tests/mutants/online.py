"""Ask the online store a spec case: `known_before` of its spine is the watermark, each row an `as_of`.

Two ways, which must agree: one run at the watermark, or a run a day earlier over all files but the last, then one at
the watermark, then one that comes too late and must change nothing. A case of the contract that names no watermark can be
asked too, each row at a watermark of its own: W = t.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from featurestore import FeatureStore
from featurestore.engines.reference import Answer as FullAnswer
from featurestore.intervals import MICROS_PER_DAY, FixedClock
from featurestore.retrieval.spine import Spine, instants
from tests.spec.loader import Answer, Case


def in_one_run(case: Case, folder: Path) -> Answer:
    case.write(folder)
    return _answer(case, _store(case, folder))


def in_two_runs(case: Case, folder: Path) -> Answer:
    case.write(folder)
    late = [files[-1] for name in case.tables if len(files := sorted((folder / name).glob("*.parquet"))) > 1]
    for file in late:
        shutil.move(file, file.with_suffix(".later"))
    store = _store(case, folder, MICROS_PER_DAY)
    for file in late:
        shutil.move(file.with_suffix(".later"), file)
    store.materialize(known_before=case.options["known_before"])
    store.materialize(known_before=case.options["known_before"] - MICROS_PER_DAY)
    return _answer(case, store)


def at_each_instant(case: Case, folder: Path) -> Answer:
    """Every row from a store materialized at its very instant."""
    case.write(folder)
    spine = case.spine
    whole = Spine(schema=spine.schema, rows=spine.num_rows, table=spine)
    times = instants(whole, "as_of", **case.options).to_pylist()
    stores = {}
    for t in set(times):
        stores[t] = FeatureStore(definitions=[case.service(folder)], clock=FixedClock(t))
        stores[t].materialize(known_before=t)
    return _answered(case, [stores[t] for t in times], times)


def can_be_asked_at_each_instant(case: Case) -> bool:
    """Whether F(t, W = t) is F(t): with exact matches what becomes known at t is beyond W. Errors and labels are not
    the store's, nor is counting."""
    if case.one("expect error") or case.all("label") or case.all("without value"):
        return False
    views = [instance.view for instance in case.service().instances]
    windows = [not f.is_latest for view in views for f in view.features]
    plain = {"known_before", "serving_lag", "as_of"}.isdisjoint(case.options)
    return any(windows) and plain and case.spine.num_rows > 0 and not any(view.allow_exact_matches for view in views)


RUNS: Mapping[str, Callable[[Case, Path], Answer]] = {"one run": in_one_run, "two runs": in_two_runs}


def _store(case: Case, folder: Path, before: int = 0) -> FeatureStore:
    """A store in memory, materialized `before` microseconds earlier than the case's watermark."""
    watermark = case.options["known_before"]
    store = FeatureStore(definitions=[case.service(folder)], clock=FixedClock(watermark))
    store.materialize(known_before=watermark - before)
    return store


def _answer(case: Case, store: FeatureStore) -> Answer:
    """Every row is a look-up of its own, at its own instant."""
    spine = case.spine
    times = instants(Spine(schema=spine.schema, rows=spine.num_rows, table=spine), "as_of").to_pylist()
    return _answered(case, [store] * len(times), times)


def _answered(case: Case, stores: Sequence[FeatureStore], times: Sequence[int]) -> Answer:
    (service,) = stores[0].bound.services.values()
    types = dict(service.feature_types)
    rows: list[dict[str, tuple[Any, str, int | None]]] = []
    for store, row, at in zip(stores, case.spine.to_pylist(), times, strict=True):
        entity, request = ({name: [row[name]] for name in names} for names in (service.key_columns, service.request))
        found = store.get_online_features(service.name, entity, request=request, as_of=at)
        cells = zip(found.rows[0], found.statuses[0], found.event_timestamps[0], strict=True)
        rows.append(dict(zip(found.feature_names, cells, strict=True)))
    return FullAnswer(
        names=tuple(types),
        types=types,
        values={name: [row[name][0] for row in rows] for name in types},
        statuses={name: [row[name][1] for row in rows] for name in types},
        event_timestamps={name: [row[name][2] for row in rows] for name in types},
        left_out=None,  # type: ignore[arg-type]
        without_value=None,  # type: ignore[arg-type]
    )

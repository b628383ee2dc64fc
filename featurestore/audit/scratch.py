"""Stores made in memory just before an event, over the files of S: what the live store can no longer be asked.

A live store answers from its watermark on, so the instants of facts older than that have passed. Here the state of some
keys is made at a watermark one microsecond before such an instant, by the statements the materializer runs, and read as a
look-up reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from featurestore.audit.probes import Key, bind, key_table
from featurestore.audit.truth import Cell, ViewTruth
from featurestore.compiler import duckdb as sql
from featurestore.engines.duckdb import Session
from featurestore.engines.duckdb.checks import pushed_to
from featurestore.materialization.records import pairs
from featurestore.materialization.run import entry_columns
from featurestore.online.codec import encode_key, record_of, storage_key
from featurestore.online.generations import Generation
from featurestore.plan import online_state, with_pushed
from featurestore.plan.nodes import StaticLookup
from featurestore.retrieval.online_view import View


class Scratch:
    """The records of some keys at one watermark. definition: the view as the service uses it."""

    def __init__(
        self, truth: ViewTruth, made: Generation, definition: Mapping[str, Any], keys: Sequence[Key], watermark: int
    ) -> None:
        plan = with_pushed(online_state(truth.bound), pushed_to({truth.data.source.name: truth.data}))
        assert not isinstance(plan.facts, StaticLookup)
        columns = entry_columns(plan)
        families = [key.family for key in truth.bound.keys]
        parameters = {"known_before": watermark, "known_shift": 0, "horizon": made.horizon}
        self._records: dict[bytes, bytes] = {}
        with Session(truth.settings) as session:
            bind(session, truth.bound, truth.data)
            session.bind("touched", key_table(truth.bound, keys))
            rows = session.reader(sql.online_state(plan, limited=True), parameters)
            for batch in pairs(rows, families, plan, watermark, made.horizon):
                self._records.update(zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True))
        typed = tuple((name, dtype.name) for name, dtype in columns)
        generation = replace(made, watermark=watermark, columns=typed, view=truth.bound.to_manifest())
        self._view, self._families = View(definition, generation), families

    def cells(self, key: Key, t: int) -> dict[str, Cell]:
        """What a look-up of the key would answer at t, by column."""
        stored = storage_key(encode_key(key, self._families))
        answer = self._view.answer(record_of(self._records.get(stored), stored), t)
        told = zip(answer[0], self._view.statuses(answer), self._view.event_timestamps(answer), strict=True)
        return {name: Cell(*cell) for name, cell in zip(self._view.feature_names, told, strict=True)}


__all__ = ["Scratch"]

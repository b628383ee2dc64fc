"""Plant mistakes, one at a time, in a copy of the package; each must be killed by the focused suite (tests/mutants).

A mutant is a snippet of our code and what a plausible mistake would make of it: a row sees what happens at its own
instant, a known time is forgotten, a tombstone does not hide, a tie has another winner. The work tree is never touched. A
snippet that no longer occurs exactly once is an error, so that the table stays true; so is a mutant that cannot run at
all, because nothing is then proven. `make mutants`, or `python scripts/mutants.py NAME…` for some; exit 1 if any
survives.
"""

from __future__ import annotations

import compileall
import importlib
import multiprocessing
import os
import py_compile
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
PATIENCE = 300
"""Seconds one mutant may take."""
ENDS_WITHIN = 20
"""Seconds its process may take to end, once it has told."""
COPIED = ("featurestore", "tests/spec", "tests/mutants", "tests/postgres_server.py", "tests/needs.py", "tests/served.py")
LIBRARIES = (
    "duckdb",
    "lmdb",
    "pandas",
    "pyarrow.compute",
    "pyarrow.parquet",
    "pydantic_settings",
    "pytest",
    "sqlglot.dialects.duckdb",
)
"""What every mutant's process would import; loaded once, before it is forked. Nothing of ours is among them."""

_PG_KIND = "featurestore/sources/postgres/__init__.py"
_PG_ADDRESS = "featurestore/sources/postgres/address.py"
_PG_COLUMNS = "featurestore/sources/postgres/columns.py"
_PG_SNAPSHOT = "featurestore/sources/postgres/snapshot.py"
_PG_TABLE = "featurestore/sources/postgres/table.py"
_ICEBERG = "featurestore/sources/iceberg.py"
_DELTA = "featurestore/sources/delta.py"
_DELTA_LOG = "featurestore/sources/delta_log.py"
_TABLE_FILES = "featurestore/sources/table_files.py"
_TABLE_OUTPUT = "featurestore/sources/table_output.py"
_FACTS = "featurestore/compiler/duckdb/facts.py"
_BOUNDARY = "featurestore/compiler/facts.py"
_READ = "featurestore/compiler/rows.py"
_SPANS = "featurestore/compiler/spans.py"
_LATEST = "featurestore/compiler/duckdb/latest.py"
_PAIRS = "featurestore/compiler/duckdb/windows/pairs.py"
_SHARED = "featurestore/compiler/duckdb/windows/shared.py"
_AGGREGATIONS = "featurestore/compiler/duckdb/windows/aggregations.py"
_MOMENTS = "featurestore/compiler/duckdb/windows/moments.py"
_GRID = "featurestore/compiler/duckdb/windows/grid.py"
_TILES = "featurestore/compiler/duckdb/windows/tiles.py"
_STRETCHES = "featurestore/compiler/duckdb/windows/stretches.py"
_SPLIT = "featurestore/compiler/duckdb/windows/split.py"
_ALIGNED = "featurestore/compiler/duckdb/windows/aligned.py"
_FRAMES = "featurestore/compiler/duckdb/windows/frames.py"
_SWEEP = "featurestore/compiler/duckdb/windows/sweep.py"
_CATALOGUE = "featurestore/definitions/aggregation.py"
_FLOW = "featurestore/plan/flow.py"
_POINTS = "featurestore/profiles/points.py"
_ENTRIES, _PAGE = "featurestore/catalogue/entries.py", "featurestore/server/page/app.py"
_SESSIONS, _KEYS = "featurestore/server/sessions.py", "featurestore/server/keys.py"
_LINEAGE, _RUNS = "featurestore/plan/lineage.py", "featurestore/openlineage/runs.py"
_EXPECTED = "featurestore/definitions/expectations.py"
_PATTERNS = "featurestore/patterns.py"
_EXACT = "featurestore/engines/exact.py"
_FOLDS = "featurestore/retrieval/online_folds.py"
_ORDER = "featurestore/online/order.py"
_COLUMNAR = "featurestore/online/columnar.py"
_STATE = "featurestore/compiler/duckdb/online.py"
_NODES = "featurestore/plan/nodes.py"
_PLAN = "featurestore/plan/build.py"
_TIMES = "featurestore/sources/times.py"
_READING = "featurestore/engines/duckdb/reading.py"
_SPINE = "featurestore/retrieval/spine.py"
_TRAINING = "featurestore/retrieval/training_set.py"
_VIEW = "featurestore/retrieval/online_view.py"
_LOOKUP = "featurestore/retrieval/online_features.py"
_ON_DEMAND = "featurestore/retrieval/on_demand.py"
_ON_DEMAND_ONLINE = "featurestore/retrieval/online_on_demand.py"
_INSTANCES = "featurestore/definitions/view.py"
_TREES = "featurestore/trees.py"
_RUN = "featurestore/materialization/run.py"
_RECORDS = "featurestore/materialization/records.py"
_LABELS = "featurestore/retrieval/labels.py"
_LABEL_VIEW = "featurestore/definitions/label.py"
_SERVICE = "featurestore/definitions/service.py"
_SPLITS = "featurestore/retrieval/splits.py"
_REBUILD = "featurestore/audit/rebuild.py"
_INPUTS = "featurestore/audit/inputs.py"
_CHANGES = "featurestore/audit/changes.py"
_CELLS = "featurestore/audit/cells.py"
_ROWS = "featurestore/audit/rows.py"
_REGISTRY = "featurestore/registry.py"
_COUNTS = "featurestore/compiler/duckdb/counts.py"
_PERTURBED = "featurestore/compiler/duckdb/perturbed.py"
_AROUND = "featurestore/compiler/duckdb/audit.py"
_WHYS = "featurestore/audit/whys.py"
_BELIEF = "featurestore/audit/belief.py"
_EXPLAIN = "featurestore/audit/explain.py"
_REACH = "featurestore/compiler/duckdb/influence.py"
_INFLUENCE = "featurestore/audit/influence.py"
_INFLUENCES = "featurestore/audit/influences.py"
_PARTITIONS = "featurestore/compiler/duckdb/partitions.py"
_NEEDED = "featurestore/plan/needed.py"
_PARTS = "featurestore/sources/parts.py"
_OBJECTS = "featurestore/sources/objects.py"
_MIRROR = "featurestore/sources/mirror.py"
_FOOTERS = "featurestore/sources/footers.py"
_SNAPSHOT = "featurestore/compiler/duckdb/windows/snapshot.py"
_TOUCHED = "featurestore/compiler/duckdb/backfill.py"
_LATE_ROWS = "featurestore/backfill/late.py"
_BACKFILL = "featurestore/backfill/run.py"
_LOG_READING, _LOG_WRITER = "featurestore/serve_log/reading.py", "featurestore/serve_log/writer.py"
_ALERTS, _WEBHOOK = "featurestore/monitoring/alerts.py", "featurestore/monitoring/webhook.py"
_ARRIVALS = "featurestore/compiler/duckdb/arrivals.py"
_SKEW, _REPLAYED = "featurestore/monitoring/skew.py", "featurestore/monitoring/replayed.py"
_PAST = "featurestore/online/past.py"
_LOG_SECRET, _REDACTION = "featurestore/serve_log/secret.py", "featurestore/serve_log/redaction.py"


@dataclass(frozen=True)
class Mutant:
    """name; the file; the snippet, and what takes its place; the story; part of the name of a case that should kill it."""

    name: str
    file: str
    old: str
    new: str
    story: str
    killer: str


MUTANTS = (
    # What alerts, and what is judged
    Mutant("chance_is_not_corrected", "featurestore/monitoring/drift/p_values.py", "(len(ps) - place) * ps[number]",
           "ps[number]", "every test has alpha for itself", "compared-chance"),
    Mutant("one_tail_is_the_p", "featurestore/monitoring/drift/p_values.py", "2 * float(min(together",
           "1 * float(min(together", "the p of shares is half of it", "compared-few_hits"),
    Mutant("ties_are_steps", "featurestore/monitoring/drift/numbers.py", "where=steps > 0", "where=steps >= 0",
           "KS is looked up between ties", "compared-distance"),
    Mutant("frequent_values_share_a_bin", "featurestore/monitoring/drift/numbers.py", "np.nextafter(often, -np.inf)",
           "often", "a frequent value shares its bin with the tenth below", "compared-a_frequent"),
    Mutant("one_side_says_what_is_rare", "featurestore/monitoring/drift/categories.py",
           "together = before + after\n    smaller", "together = 2 * after\n    smaller",
           "current alone decides which are rare", "compared-rare"),
    Mutant("trifles_alert", "featurestore/monitoring/drift/rules.py", "< alpha and _matters(test.name, effects)", "< alpha",
           "whatever is no chance alerts", "compared-what_matters"),
    Mutant("a_threshold_silences_all", "featurestore/monitoring/drift/rules.py",
           "elif MEASURES[test.name].about in replaced:", "elif replaced:", "who sets PSI hears of NULL no more",
           "compared-what_matters"),
    Mutant("the_first_rows_are_drawn", "featurestore/monitoring/drift/sides.py",
           "np.sort(np.random.default_rng(seed).choice(rows, sample, replace=False, shuffle=False))", "np.arange(sample)",
           "a draw is the oldest rows", "compared-a_draw"),
    Mutant("a_threshold_of_nothing_silences", "featurestore/monitoring/drift/rules.py",
           " for measure in wanted if effects.get(measure) is not None", " for measure in wanted",
           "a threshold of what a feature does not have ends its alerts", "compared-what_matters"),
    Mutant("young_days_are_judged", "featurestore/monitoring/performance.py", "if instants[rows].max() > last:",
           "if instants[rows].min() > last:", "a day is judged by the labels that are settled early", "compared-only_settled"),
    Mutant("ties_are_won", "featurestore/monitoring/performance.py", "(np.cumsum(counts) - (counts - 1) / 2)[at]",
           "np.cumsum(counts)[at]", "equal scores are right", "compared-ties_are_half"),
    # What boards show, and to whom
    Mutant("boards_show_what_others_own", "featurestore/server/page/boards/pages.py", "if not asked.limited:",
           "if asked.query is not None:", "who sees some services sees results of all", "found-who_sees_some"),
    Mutant("a_feed_stops_by_its_result_alone", "featurestore/server/page/boards/freshness.py",
           "None not in (age, limit) and age > limit", "False", "a monitor that stops hides a feed that stops",
           "found-a_feed_stops"),
    Mutant("alerts_stay_open_for_ever", "featurestore/server/page/boards/findings.py",
           "s.latest.at > newest[s.latest.check] - MICROS_PER_DAY", "newest", "an alert of what is gone stays open",
           "found-an_alert_that_nobody"),
    Mutant("cut_lines_take_whole_ones_along", "featurestore/monitoring/results.py", "file.seek(max(start - 1, 0))",
           "file.seek(start)", "a line that is wholly within the bound is left out", "found-the_newest_bytes"),

    # What is watched
    Mutant("alert_ends_when_not_looked_at", _ALERTS, "return key.check in complete and not", "return not",
           "a check that could not run closes what it had opened", "watched-an_alert"),
    Mutant("alert_ends_when_skipped", _ALERTS, "return result.status in (OK, WARNING)", "return result.status != ALERT",
           "a result that was skipped is good news", "watched-an_alert"),
    Mutant("alert_of_a_skipped_subject_ends", _ALERTS, "whole.status in (SKIPPED, ALERT))", "whole.status == ALERT)",
           "a service nobody served has its features' alerts resolved", "watched-an_alert"),
    Mutant("alert_opens_each_time", _ALERTS, "if result.status == ALERT and key not in self.open:",
           "if result.status == ALERT:", "an alert is told with every look", "watched-an_alert"),
    Mutant("event_sent_before_its_time", _WEBHOOK, "not now < alerts.due <= now + LONGEST_WAIT:", "True:",
           "a receiver that is down is asked without a pause", "watched-events"),
    Mutant("event_passes_another", _WEBHOOK, "alerts.waiting.pop(0)", "alerts.waiting.pop()",
           "what was taken is not what is crossed off", "watched-events"),
    Mutant("event_kept_in_mind_only", _WEBHOOK, "        taken += 1\n        keep()", "        taken += 1",
           "a restart repeats what was taken", "watched-events"),
    Mutant("past_of_another_place", _PAST, "[at, at + 1])", "[at + 1, at + 2])",
           "a past generation is told with the next one's files", "watched-past"),
    Mutant("past_for_ever", _PAST, "if one[\"watermark\"] >= other.watermark - SPAN:", "if True:",
           "generations are remembered for ever", "watched-past"),
    Mutant("skew_at_the_share_alerts", _SKEW, "(found.rate or 0.0) > threshold]", "(found.rate or 0.0) >= threshold]",
           "a share that may differ fails the check", "watched-a_share"),
    Mutant("skew_without_statuses", _REPLAYED, "served.status == true.status and alike", "alike",
           "a wrong status is no mismatch", "watched-what_is_altered"),
    Mutant("skew_of_stale_cells", _REPLAYED, "if served.status == STALE:", "if served.status == UNAVAILABLE + STALE:",
           "a cell that said it knew nothing is accused", "watched-what_is_altered"),
    Mutant("skew_by_the_newest_generation", _REPLAYED, "if made.watermark == watermark]", "if made is instance.made[0]]",
           "what was served is held against what became known since", "watched-each_served"),
    Mutant("skew_without_pushes", _REPLAYED, "else self.truth(made, pushed)", "else self.truth(made)",
           "what was pushed and served is held for wrong", "watched-pushes"),
    # What is fresh
    Mutant("fresh_knows_its_own_instant", _ARRIVALS, "WHERE known_time < $now\"", "WHERE known_time <= $now\"",
           "a look as of an instant sees what becomes known at it", "fresh-what_becomes"),
    Mutant("fresh_counts_versions", _ARRIVALS, "AND {place} = 1", "AND {place} >= 1",
           "a correction is one more fact, and a late one", "fresh-of_the_versions"),
    Mutant("volume_of_an_hour_under_way", "featurestore/monitoring/volume.py",
           "(now - round(PATIENCE * quantile(took, MOST)) - first)", "(now - first)",
           "an hour is judged before its rows could come", "fresh-an_interval"),
    Mutant("retrain_when_better", "featurestore/monitoring/retrain.py", "if METRICS[metric] else",
           "if not METRICS[metric] else", "a model is trained anew because it does well", "fresh-worse"),
    # What was served
    Mutant("log_window_closed", _LOG_READING, "pc.less(t, end)", "pc.less_equal(t, end)",
           "a row of the next window is in this one", "logged-a_window"),
    Mutant("log_files_of_the_last_instant", _LOG_READING, "one.last >= start]", "one.last > start]",
           "a file whose last row is the window's first is left out", "logged-a_window"),
    Mutant("log_draw_of_the_first", _LOG_READING, "generator.random(batch.num_rows)", "np.linspace(0, 0.9, batch.num_rows)",
           "a draw is of the rows that come first", "logged-a_draw"),
    Mutant("log_queue_without_end", _LOG_WRITER, "- self._taken + rows > self", "- self._taken > self",
           "the queue takes what it has no room for", "logged-a_full_queue"),
    Mutant("log_newest_go", _LOG_READING, "key=lambda one: (one.day, one.first,", "key=lambda one: (one.first,",
           "retention takes what was asked of the longest ago, not what was served the longest ago", "logged-what_is_old"),
    Mutant("log_redacts_services_alone", _REDACTION, "if composed:", "if False:",
           "what a service hides, Feast's clients have logged", "logged-a_name_hides"),
    Mutant("log_redacts_own_names_alone", _REDACTION, "column: {column, feature,", "column: {column,",
           "a prefix brings a hidden feature back", "logged-a_name_hides"),
    Mutant("log_tells_what_is_hidden_by_what_is_made_of_it", _REDACTION, '"request": {column}', '"request": set()',
           "a feature that reads a hidden request column is logged", "logged-a_name_hides"),
    Mutant("log_hash_without_secret", _LOG_SECRET, "key=self._secret,", 'key=b"",',
           "who can try all keys can undo a hash", "logged-hashes_need"),
    # What is cut by key, and what need not be read
    Mutant("versions_cut_by_their_own_key", _PARTITIONS, "coalesce(m.{PARTITION}, {_own(part, partitions)})",
           "{_own(part, partitions)}", "a version of another key does not hide the one before", "versions-a (cut)"),
    Mutant("needed_ends_before_the_last_row", _NEEDED, "_least(last, known_to - source", "_least(last - 1, known_to - source",
           "what happens at the last instant asked for is not read", "latest-with_exact_matches_the_last_row (cut)"),
    Mutant("needed_of_windows_short", _NEEDED, "first - reach,", "first - reach + 1,",
           "the oldest fact of the first row's window is not read", "windows-pitfall_28_an_event (cut)"),
    Mutant("needed_of_versions_by_event", _NEEDED, "return Needed(created_to=created_to)",
           "return Needed(event_to=last, created_to=created_to)",
           "a version that moves a fact out of reach is not read", "versions-a (cut)"),
    Mutant("needed_of_labels_ends_at_as_of", _TRAINING, "self._ends[end] + part.spine.ahead if", "self._ends[end] if",
           "what labels look ahead to is not read", "labels-a (cut)"),
    # What lies in object stores, and beside files
    Mutant("copy_without_nested", _MIRROR, "own & _levels(path)", "path in own",
           "lists are holes", "remote-rows_that_are_needed"),
    Mutant("copy_skips_what_is_needed", _MIRROR, "if needed.misses(*ends)}", "if not needed.misses(*ends)}",
           "the row groups that are needed are holes", "remote-what_is_not_needed"),
    Mutant("copy_of_everything", _MIRROR, "if i not in missed and own", "if own",
           "row groups that nobody needs are fetched", "remote-what_is_not_needed"),
    Mutant("copy_of_pieces_misplaced", _MIRROR, "_write(copy.path, start, content)", "_write(copy.path, start + 1, content)",
           "bytes have another place in the copy", "remote-rows_that_are_needed"),
    Mutant("copy_of_another_object", _MIRROR, "    check_all(copy.file for copy, _ in wanted)", "    wanted = ()",
           "pages of an object that took the place of the listed one", "remote-an_object_replaced_before_its_pages"),
    Mutant("footer_of_another_object", _OBJECTS, "    check_all(files)  #", "    # ",
           "the footer of an object that took the place of the listed one is remembered",
           "remote-an_object_replaced_before_its_footer"),
    Mutant("object_known_by_size", _OBJECTS, "        return now == self\n", "        return now.size == self.size\n",
           "an object of the same size is taken for the same", "remote-an_object_replaced_after"),
    Mutant("object_recorded_without_tag", _OBJECTS, '"etag": self.tag}', '"etag": ""}',
           "every object of a size is the same to a manifest", "remote-an_object_is_recorded"),
    Mutant("object_recorded_by_its_head", _OBJECTS, "digest.update(self.read(start, min(start + _BLOCK, self.size)))",
           "digest.update(self.read(0, 4))", "objects without tags are told by their first bytes",
           "remote-an_object_is_recorded"),
    Mutant("fixed_nulls_are_zero", _READING, 'return "NULL"\n    if pa.types', 'return "0"\n    if pa.types',
           "a column that a file is older than is 0", "remote-columns_beside"),
    Mutant("fixed_times_in_milliseconds", _READING, "value.type.tz)).value})", "value.type.tz)).value * 1000})",
           "a partition's time is another", "remote-columns_beside"),
    Mutant("fixed_columns_from_the_file", _PARTS, "arrays.append(pa.repeat(self.fixed[column], n))",
           "arrays.append(pa.nulls(n, self.fixed[column].type))", "a partition's value is lost on the way",
           "remote-columns_beside"),
    Mutant("fixed_nulls_are_values", _FOOTERS, "return lambda rows: Extent(rows, ())", "return lambda rows: Extent(0, ())",
           "a column that a file is older than counts as never NULL", "remote-columns_beside"),
    # One instant for all rows
    Mutant("snapshot_sees_t", _FACTS, """f"{visible_from(boundary)} {'<=' if boundary.exact else '<'} $at", *conditions]""",
           """f"{visible_from(boundary)} <= $at", *conditions]""",
           "asked at once, a row sees what happens at its own instant", "backfilled-rows_are_the_keys"),
    Mutant("snapshot_misses_t", _FACTS, """f"{visible_from(boundary)} {'<=' if boundary.exact else '<'} $at", *conditions]""",
           """f"{visible_from(boundary)} < $at", *conditions]""",
           "asked at once, an exact match is missing", "backfilled-exact_matches_see"),
    Mutant("snapshot_of_later_versions", _FACTS, "if at_once and not settled else", "if False else",
           "asked at once, a version not yet known hides the one before", "backfilled-versions_count"),
    Mutant("snapshot_window_short", _SNAPSHOT, "{'>' if visible.exact else '>='} $at - {reach}", "> $at - {reach}",
           "asked at once, the oldest fact of a window is missing", "backfilled-rows_are_the_keys"),
    Mutant("snapshot_window_long", _SNAPSHOT, "{'>' if visible.exact else '>='} $at - {reach}", ">= $at - {reach}",
           "asked at once, an exact window has both its ends", "backfilled-exact_matches_see"),
    Mutant("snapshot_newest_is_oldest", _LATEST, '"max(event_time) AS event_time"', '"min(event_time) AS event_time"',
           "asked at once, the oldest fact is the latest", "backfilled-rows_are_the_keys"),
    # What late rows touch
    Mutant("touched_ends_early", _TOUCHED, "greatest(event_time + {reach}, coalesce(shown",
           "greatest(event_time + {reach} - 1, coalesce(shown",
           "the last instant that a late row reaches is as it was", "backfilled-late_rows_touch"),
    Mutant("touched_begins_late", _TOUCHED, "greatest(begins - $start + $every - 1, 0)",
           "greatest(begins - $start + $every + 0, 0)",
           "an exact match that came late is not seen at its instant", "backfilled-late_rows_with_exact"),
    Mutant("touched_forgets_new_keys", _TOUCHED, "coalesce(shown, {_EVER})) AS ends", "coalesce(shown, 0)) AS ends",
           "a new key has no rows beyond its window", "backfilled-a_late_row_of_a_key_nobody"),
    Mutant("touched_by_ttl_alone", _LATE_ROWS, "else max(ttl, windows)", "else ttl",
           "a late row touches no window", "backfilled-late_rows_touch"),
    Mutant("touched_windows_alone", _LATE_ROWS, "else max(ttl, windows)", "else windows",
           "a late row touches no latest value beyond the windows", "backfilled-a_late_row_beyond"),
    Mutant("touched_until_the_version_before", _TOUCHED, "ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING\\n), {_EVER})",
           "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW\\n), {_EVER})",
           "a late version is in force until an older one is known", "backfilled-a_late_correction_touches"),
    Mutant("touched_keys_stay", _TOUCHED, "coalesce(shown, {_EVER}) FROM named", "coalesce(shown, 0) FROM named",
           "a key that a tombstone takes stays beyond its window", "backfilled-a_late_tombstone"),
    Mutant("backfill_keeps_what_was_tampered_with", _BACKFILL, "        if at not in self.as_written:", "        if False:",
           "a file that was changed by hand passes", "backfilled-what_is_not_as"),
    Mutant("backfill_keeps_another_definition", _BACKFILL, "        if record.fingerprint != self.bound.fingerprint:",
           "        if False:", "files of another definition stay", "backfilled-another_definition"),
    Mutant("backfill_forgives_what_is_gone", _LATE_ROWS, "    if gone:", "    if False:",
           "values of a file that is gone stay", "backfilled-a_file_that_is_gone"),
    # What lies in a database
    Mutant("database_decimals_by_a_digit", _PG_COLUMNS, "({c} * 1{'0' * scale})", "({c} * 1{'0' * (scale - 1)})",
           "decimals lose their last digit", "database-decimals"),
    Mutant("database_decimals_all_as_integers", _PG_COLUMNS, '"int8" if precision <= _WIDEST', '"int8" if precision <= 38',
           "decimals of many digits overflow", "database-decimals"),
    Mutant("database_nan_is_null", _PG_COLUMNS, "THEN {failing} ELSE {value}::{told}", "THEN NULL ELSE {value}::{told}",
           "NaN in a decimal is NULL", "database-what_a_type"),
    Mutant("database_infinite_values_wrap", _PG_COLUMNS, """AND {c} > '-infinity' OR {c} IS NULL\"""", """OR {c} IS NULL\"""",
           "an infinite time is some time", "database-what_a_type"),
    Mutant("database_late_values_wrap", _PG_COLUMNS, "200000-01-01", "294276-12-31 23:59:59",
           "a time beyond 64 bits is one long ago", "database-"),
    Mutant("database_arrays_laid_flat", _PG_COLUMNS, "{dimensions} > 1 THEN", "{dimensions} > 6 THEN",
           "an array of two dimensions is a longer one", "database-what_a_type"),
    Mutant("database_events_exactly_at_the_bound", _PG_TABLE, '(self._source.event_timestamp, "<=", needed.event_to)',
           '(self._source.event_timestamp, "<", needed.event_to)', "the last row that is needed stays on the server",
           "database-rows_that_are_needed"),
    Mutant("database_bounds_of_created_on_events", _PG_TABLE, '(self._source.created_timestamp, "<=", needed.created_to)',
           '(self._source.event_timestamp, "<=", needed.created_to)', "rows known in time stay on the server",
           "database-rows_that_are_needed"),
    Mutant("database_bounds_in_no_zone", _PG_TABLE, 'if kind == pa.timestamp("us") and self._source.zone_of(name) == "UTC":',
           'if kind == pa.timestamp("us"):', "a bound on local times is one of UTC", "database-rows_that_are_needed"),
    Mutant("database_rows_in_the_order_of_an_index", _PG_TABLE, "as_it_lies=all_rows and self._is_table", "as_it_lies=False",
           "a row has another number when other columns are read", "database-a_row_keeps"),
    Mutant("database_extents_without_nulls", _PG_TABLE, 'nulls = found[f"nulls_{i}"]', "nulls = 0",
           "rows without a time are not counted", "database-rows_left_out"),
    Mutant("database_reads_committed", _PG_SNAPSHOT, "ISOLATION LEVEL REPEATABLE READ READ ONLY", "READ ONLY",
           "each statement sees another moment", "database-a_writer"),
    Mutant("database_readings_of_their_own", _PG_SNAPSHOT, "self._connected(self._name)", "self._connected()",
           "each reading sees another moment", "database-a_writer"),
    Mutant("database_digest_of_no_rows", _PG_TABLE, "hashtextextended(row, {seed})", "hashtextextended('', {seed})",
           "a changed row leaves the digest as it is", "database-a_digest"),
    Mutant("database_followed_whatever_changed", _PG_KIND, 'return "" if same else', 'return "" if was else',
           "a table that has changed is followed step by step", "database-a_changed_table"),
    Mutant("database_emptied_unnoticed", _PG_TABLE, "AND c.relfilenode <> 0 AND", "AND c.relfilenode = 0 AND",
           "a table emptied since the snapshot has no rows", "database-a_table_emptied"),
    Mutant("database_partition_unnoticed", _PG_TABLE, "NOT EXISTS (SELECT FROM pg_inherits", "EXISTS (SELECT FROM pg_inherits",
           "rows of a partition attached since are read", "database-a_partition"),
    Mutant("database_secret_as_written", _PG_ADDRESS, "in (secret, unquote(secret))", "in (secret,)",
           "a password is told as it is meant", "database-secrets"),
    # What tables say of their files
    Mutant("table_column_by_name", _ICEBERG, ".get(ids[column.name])", ".get(ids[column.name]) and own.field(column.name)",
           "a renamed column is another one's values", "tables-columns_go"),
    Mutant("table_column_read_by_name", _READING, "return quoted(_lies(part, column).name),", "return quoted(column),",
           "the engine reads a renamed column under its new name, and narrows by it", "tables-columns_go"),
    Mutant("table_constants_of_the_first", _READING, "_one(p, data.source, c, types) for p in parts",
           "_one(parts[0], data.source, c, types) for p in parts", "all partitions have the values of one",
           "tables-many_partitions"),
    Mutant("table_footers_by_name", _FOOTERS, "part.stored[c].name if c in part.stored else c", "c",
           "what a footer says is another column's", "tables-times_go"),
    Mutant("table_constants_lost", _TABLE_FILES, "data.constants.get(column.name, pa.scalar(None, column.type))",
           "pa.scalar(None, column.type)", "values of partitions are NULL", "tables-values_of_partitions"),
    Mutant("table_files_of_any_size", _TABLE_FILES, "if file is None or file.size != size:", "if file is None:",
           "a file that is not what the log says is read", "tables-a_file_that_is_not"),
    Mutant("table_of_any_id", _TABLE_FILES, 'if before["table"] != here["table"]:', "if False:",
           "another table in the same place is taken for the same", "tables-another_table"),
    Mutant("table_of_any_schema", _TABLE_FILES, 'if before.get("schema") != here.get("schema") else ""', 'if False else ""',
           "columns that became others are followed file by file", "tables-the_past"),
    Mutant("table_reopened_at_the_newest", _DELTA, 'return _found(loaded(pin["delta"], pin["version"], root, source.place)',
           'return _found(loaded(pin["delta"], None, root, source.place)',
           "what was recorded is compared with the newest version", "tables-the_recorded"),
    Mutant("table_features_unknown", _DELTA, "if features - READ or protocol", "if protocol",
           "a table of tomorrow is read as one of today", "tables-what_is_not_read"),
    Mutant("table_mapping_by_id_alone", _DELTA, 'if mapping != "none":', 'if mapping == "id":',
           "columns that are mapped by name are read under their names", "tables-what_is_not_read"),
    Mutant("table_with_deletion_vectors", _DELTA, "        return True\n", "        return False\n",
           "rows that a deletion vector deletes are there", "tables-what_is_not_read"),
    Mutant("table_version_before_its_instant", _DELTA_LOG, "version if before <= at", "version if before < at",
           "a version is not the newest at the instant of its commit", "tables-a_version"),
    Mutant("table_clock_gone_back", _DELTA_LOG, "max(time, before + 1)", "time",
           "a later version is found before an earlier one", "tables-a_version"),
    Mutant("table_past_by_todays_columns", _ICEBERG, "if snapshot.schema_id is None else snapshot.schema_id", "",
           "the past is read by columns it did not have", "tables-the_past"),
    Mutant("table_with_deletes", _ICEBERG, "!= manifest.DataFileContent.DATA:", "== manifest.DataFileContent.EQUALITY_DELETES:",
           "a file of deletes is read as one of rows", "tables-deletes"),
    Mutant("table_rows_of_any_value_replaced", _TABLE_OUTPUT, '" AND ".join(tests)', '" OR ".join(tests)',
           "rows are replaced that nobody named", "tables-rows_that_are_replaced"),
    Mutant("table_versions_not_compared", _CHANGES, "if pins != after_pins:", "if False:",
           "a set of another version is said to be of the same", "tables-the_recorded"),
    # The boundary at t
    Mutant("as_of_join_sees_t", _LATEST, '">=" if plan.facts.exact else ">"', '">="',
           "a row sees what happens at its own instant", "latest-pitfall_04_what_happens"),
    Mutant("as_of_join_exact_inverted", _LATEST, '">=" if plan.facts.exact else ">"', '">" if plan.facts.exact else ">="',
           "the strict boundary and the exact one change places", "latest-pitfall_04_exact"),
    Mutant("exact_for_every_view", _PLAN, "Visible(kept, view.allow_exact_matches)", "Visible(kept, True)",
           "every view allows exact matches, asked or not", "latest-pitfall_04_what_happens"),
    Mutant("timeline_sees_t", _LATEST,
           'return "2 * asked_at", "2 * greatest(event_time, known_time) + 1"',
           'return "2 * asked_at + 1", "2 * greatest(event_time, known_time)"',
           "on the timeline a fact comes before the row of the same instant", "known_time-pitfall_08"),
    Mutant("timeline_exact_misses_t", _LATEST,
           'return "2 * asked_at + 1", "2 * greatest(event_time, known_time)"\n',
           'return "2 * asked_at", "2 * greatest(event_time, known_time) + 1"\n',
           "with exact matches the fact at t is missing", "latest-exact_matches_ask_for"),
    Mutant("windows_see_t", _PAIRS, "f.visible_from {'<=' if exact else '<'} s.asked_at", "f.visible_from <= s.asked_at",
           "a window counts what happens at t", "windows-pitfall_28_an_event"),
    Mutant("windows_exact_inverted", _PAIRS, "{'<=' if exact else '<'} s.asked_at", "{'<' if exact else '<='} s.asked_at",
           "in windows the strict boundary and the exact one change places", "windows-pitfall_28_with_exact"),
    # Known time
    Mutant("created_is_event", _READ, "created = self.micros(source.created_timestamp, source)",
           "created = self.event_time(source)",
           "a backfilled row is known when it happened", "known_time-pitfall_08"),
    Mutant("delay_ignored", _READ, '''f"{event_time} + {delay}" if delay else event_time''',
           "event_time", "a declared delay is forgotten", "known_time-a_delay_makes"),
    Mutant("created_null_is_event", _READ, 'if source.created_null == "event":', "if True:",
           "a row nobody knows when it was loaded is known when it happened", "known_time-a_row_without_a_created"),
    Mutant("as_of_join_by_event", _LATEST, "s.asked_at {compare} f.{visible_from(plan.facts)}",
           "s.asked_at {compare} f.event_time",
           "the as-of join asks when it happened, not when it was known", "known_time-a_delay_makes"),
    Mutant("timeline_by_event", _LATEST, '"2 * asked_at", "2 * greatest(event_time, known_time) + 1"',
           '"2 * asked_at", "2 * event_time + 1"', "the timeline forgets known time", "known_time-pitfall_08"),
    Mutant("timeline_by_known", _LATEST, '"2 * asked_at", "2 * greatest(event_time, known_time) + 1"',
           '"2 * asked_at", "2 * known_time + 1"',
           "a row loaded ahead is used before it happens", "known_time-a_row_loaded_before"),
    Mutant("timeline_exact_by_event", _LATEST, '"2 * asked_at + 1", "2 * greatest(event_time, known_time)"',
           '"2 * asked_at + 1", "2 * event_time"', "with exact matches known time is forgotten",
           "latest-exact_matches_ask_for"),
    Mutant("windows_by_event", _BOUNDARY, 'else "greatest(event_time, known_time)"', 'else "event_time"',
           "windows forget known time", "windows-a_row_loaded_late"),
    Mutant("windows_by_known", _BOUNDARY, 'else "greatest(event_time, known_time)"', 'else "known_time"',
           "windows count a row loaded ahead before it happens", "windows-a_row_loaded_ahead"),
    Mutant("simple_windows_by_event", _BOUNDARY, 'return "known_time" if is_simple', 'return "event_time" if is_simple',
           "windows forget the delay of a source", "known_time-a_serving_lag_gives"),
    Mutant("known_judged_at_the_windows_end", _PAIRS, "{'<=' if exact else '<'} s.asked_at\"",
           "{'<=' if exact else '<'} s.asked_at - {max(o.offset for o in asked.outputs)}\"",
           "known time is judged at t - offset", "windows-known_time_is_judged"),
    Mutant("created_sources_as_simple", _BOUNDARY, "(versions is None and facts.rows.source.created_timestamp is None)",
           "(versions is None)", "the fact known last wins, not the one that happened last", "known_time-pitfall_11"),
    # The cut-off and the serving lag
    Mutant("cutoff_dropped", _FACTS, "WHERE {present} AND known_time < $known_before", "WHERE {present}",
           "a set built with a cut-off sees what was known later", "known_time-pitfall_12"),
    Mutant("cutoff_includes_k", _FACTS, "WHERE {present} AND known_time < $known_before",
           "WHERE {present} AND known_time <= $known_before", "what became known at K is known before K",
           "known_time-the_cut_off_is_strict"),
    Mutant("cutoff_by_event", _FACTS, "WHERE {present} AND known_time < $known_before",
           "WHERE {present} AND event_time < $known_before",
           "the cut-off asks when it happened", "known_time-pitfall_12"),
    Mutant("correction_in_force_as_it_happens", _FACTS, "SELECT *, min(known_time) OVER (", "SELECT *, min(event_time) OVER (",
           "a correction hides the version before it from when it happened on", "versions-a_correction"),
    Mutant("cutoff_of_versions_dropped", _FACTS, """{not_null([*row_keys, 'known_time'])} AND known_time < $known_before""",
           """{not_null([*row_keys, 'known_time'])}""",
           "a correction known after the cut-off replaces", "versions-a_correction_known_after"),
    Mutant("serving_lag_dropped", _FACTS, "SELECT * REPLACE (known_time + $known_shift AS known_time)", "SELECT *",
           "a serving lag changes nothing", "known_time-a_serving_lag_gives"),
    Mutant("serving_lag_exact_off_by_one", _TRAINING, "serving_lag + (1 if exact and serving_lag else 0)", "serving_lag",
           "with exact matches a fact known at t - lag is served", "known_time-with_a_serving_lag_and_exact"),
    # Time to live
    Mutant("ttl_longer", _LATEST, '{spine}.asked_at - {event} <= {plan.ttl}"', '{spine}.asked_at - {event} <= {plan.ttl + 1}"',
           "a value lives 1 µs beyond its ttl", "latest-pitfall_24"),
    Mutant("ttl_shorter", _LATEST, '{spine}.asked_at - {event} <= {plan.ttl}"', '{spine}.asked_at - {event} < {plan.ttl}"',
           "a value as old as its ttl is dead", "latest-pitfall_24"),
    Mutant("ttl_status_early", _LATEST, "{spine}.asked_at - {event} > {plan.ttl} THEN",
           "{spine}.asked_at - {event} >= {plan.ttl} THEN",
           "a value as old as its ttl is called expired", "latest-pitfall_24"),
    Mutant("ttl_from_known_time", _LATEST, 'event or f"{alias}.event_time"', 'event or f"{alias}.known_time"',
           "a value is as young as its loading", "latest-ttl_is_measured"),
    # Windows
    Mutant("window_opens_late", _PAIRS, 'if exact else (">=", "<")', 'if exact else (">", "<")',
           "a fact exactly as old as the window is outside", "windows-pitfall_28_an_event"),
    Mutant("window_exact_closed_twice", _PAIRS, '(">", "<=") if exact', '(">=", "<=") if exact',
           "with exact matches a window has both its ends", "windows-adjacent"),
    Mutant("offset_window_closed", _PAIRS, 'if exact else (">=", "<")', 'if exact else (">=", "<=")',
           "adjacent windows share a fact", "windows-adjacent"),
    Mutant("offset_end_ignored", _PAIRS, 'tests.append(f"event_time {high} {at} - {span.high}")',
           'tests.append(f"event_time {high} {at}")', "a window with an offset runs up to t", "windows-adjacent"),
    Mutant("offset_dropped", _PLAN, "offset=feature.offset.micros", "offset=0",
           "every window ends at t", "windows-adjacent"),
    Mutant("window_reach_short", _PAIRS, "s.asked_at - {reach}\"", "s.asked_at - {reach - 1}\"",
           "the longest window is 1 µs short", "windows-pitfall_28_an_event"),
    Mutant("window_reach_without_offset", _NODES, "o.window + o.offset for", "o.window for",
           "a window with an offset does not reach its beginning", "windows-adjacent"),
    Mutant("span_without_offset", _SPANS, "output.offset + output.window, output.offset)", "output.window, output.offset)",
           "a window with an offset ends early and begins late", "aggregates-every_aggregate_over_a_window_that_ends"),
    Mutant("frames_see_t", _FRAMES, '("2 * {at}", "2 * event_time + 1")', '("2 * {at}", "2 * event_time")',
           "in frames a row sees what happens at its own instant", "windows-pitfall_05_the_row_being_scored (frames)"),
    Mutant("frames_long", _FRAMES, "greatest(2 * ({span.low} - ({delay})), 0)",
           "greatest(2 * ({span.low} + 1 - ({delay})), 0)",
           "in frames a window is 1 µs long", "windows-pitfall_28_an_event_exactly (frames)"),
    Mutant("grid_exact_ignored", _STRETCHES, 'after, before = (">", "<=") if self.exact else (">=", "<")',
           'after, before = ">=", "<"',
           "on the grid exact matches are strict", "windows-pitfall_28_with_exact (tiles)"),
    Mutant("grid_sees_t", _STRETCHES, 'if self.exact else (">=", "<")', 'if self.exact else (">=", "<=")',
           "on the grid a row sees what happens at its own instant", "windows-pitfall_05_the_row_being_scored (sweep)"),
    Mutant("grid_never_leaves", _GRID, 'self.instant(s.low or ""), upper, {',
           'f"CAST({-(2**62)} AS BIGINT)", upper, {',
           "on the grid what has left a window still counts", "windows-pitfall_28_an_event_exactly (tiles)"),
    Mutant("tiles_offset_ignored", _TILES, 'high = delay if span.high == 0 else f"greatest({span.high}, {delay})"',
           "high = delay",
           "on the grid every window ends at t", "windows-adjacent_windows (tiles)"),
    Mutant("aligned_never_leaves", _ALIGNED, 'ends.append((tile, self.instant(s.low or ""),',
           'ends.append((tile, f"CAST({-(2**62)} AS BIGINT)",',
           "with aligned tiles what has left a window still counts", "windows-pitfall_28_an_event_exactly (aligned)"),
    Mutant("aligned_begins_late", _ALIGNED, '{self.high(s)} - {self.hops[s.number]}"',
           '{self.high(s)} - {self.hops[s.number] - 1}"',
           "with aligned tiles a window lacks its oldest tile", "windows-pitfall_28_an_event_exactly (aligned)"),
    Mutant("aligned_holds_its_oldest_tile_whole", _ALIGNED, "self._back(c, hops - 1, backs)", "self._back(c, hops, backs)",
           "with aligned tiles sums take in what is older than the window", "windows-several_windows (aligned)"),
    Mutant("aligned_runs_too_far_back", _ALIGNED, "self._back(run, hops - 2**level, backs)",
           "self._back(run, hops - 2**level + 1, backs)",
           "with aligned tiles extremes take in what is older than the window", "aggregates-every_aggregate (aligned)"),
    Mutant("aligned_run_too_short", _ALIGNED, "self._back(run, 1, backs)", "self._back(run, 2, backs)",
           "with aligned tiles extremes lack the newest whole tile", "windows-wherever_the_greatest (aligned)"),
    Mutant("aligned_keys_touch", _ALIGNED, "(self._most + 1) * self.length", "self.length",
           "with aligned tiles a window reaches into another key", "windows-adjacent_windows (aligned)"),
    Mutant("aligned_sweep_leaves_early", _ALIGNED, "self.hops[s.number], backs)}", "max(self.hops[s.number] - 1, 0), backs)}",
           "in an aligned sweep facts leave a tile too soon", "windows-several_windows (aligned_sweep)"),
    Mutant("aligned_sweep_sees_t", _SWEEP, 'Stretch(1, None, "0",', 'Stretch(1, None, "-1",',
           "in a sweep a row sees what happens at its own instant", "windows-pitfall_05_the_row_being_scored (aligned_sweep)"),
    Mutant("sweep_thinks_all_in_time", _SWEEP, "latest is not None and latest < length", "True",
           "a fact known after it left the window is taken out of it, for it is thought in time",
           "windows-a_row_known_only_after (aligned_sweep)"),
    Mutant("split_forgets_the_late", _SPLIT, 'UNION ALL\\nSELECT * FROM late_pairs"', '"',
           "on the grid and beside it: what is known late is never counted", "aggregates-every_aggregate_waits (split)"),
    Mutant("split_knows_all_at_once", _SPLIT, 'delay="$soon"', 'delay="0"',
           "on the grid facts count before they are known", "windows-a_row_loaded_a_little_late (split)"),
    Mutant("split_counts_only_the_grid", _SPLIT, "FULL JOIN apart", "LEFT JOIN apart",
           "rows whose key has only late facts have no window", "aggregates-every_aggregate_waits (split)"),
    Mutant("sweep_keeps_replaced", _SWEEP, ", -1 FROM measured WHERE until", ", 0 FROM measured WHERE until",
           "in a sweep every version of a fact counts", "windows-windows_of_versions (sweep)"),
    Mutant("sweep_counts_what_came_too_late", _SWEEP, "CASE WHEN lateness < {length} THEN",
           "CASE WHEN TRUE OR lateness < {length} THEN",
           "a fact known after it left the window is taken out of it", "windows-a_row_known_only_after (sweep)"),
    # Aggregates
    Mutant("first_is_last", _AGGREGATIONS, '"first": ("min", _timed)', '"first": ("max", _timed)',
           "the first value is the newest", "ends-the_first_and_the_last"),
    Mutant("ends_forget_known_time", _AGGREGATIONS, "', '.join(['event_time', 'known_time', *sorting, measure])",
           "', '.join(['event_time', '0', *sorting, measure])",
           "of equal event times the value decides, not who knew first", "ends-of_equal_event_times"),
    Mutant("ends_by_known_time", _AGGREGATIONS, "['event_time', 'known_time', *sorting, measure]",
           "['known_time', 'event_time', *sorting, measure]",
           "what was loaded last is the last", "ends-a_late_fact_is_not_the_last"),
    Mutant("last_k_newest_first", _AGGREGATIONS, "f'list_reverse({found})' if turned else found", "found",
           "the newest k come newest first", "ends-the_first_and_the_last"),
    Mutant("nulls_are_values", _AGGREGATIONS, 'test = "" if output.aggregate in _SKIP_NULLS else f"{measure} IS NOT NULL"',
           'test = ""', "NULL is a first or last value", "ends-null_is_skipped"),
    Mutant("max_k_is_min_k", _AGGREGATIONS, '"max_k": lambda m, _, k: f"max(', '"max_k": lambda m, _, k: f"min(',
           "the k greatest are the least", "ranks-the_least_and_the_greatest"),
    Mutant("min_k_one_more", _AGGREGATIONS, 'f"min({m}, {k}) FILTERED"', 'f"min({m}, {k + 1}) FILTERED"',
           "a list of k holds one more", "ranks-the_least_and_the_greatest"),
    Mutant("quantile_rank_of_n", _AGGREGATIONS, "q * (len(l) - 1)", "q * len(l)",
           "a quantile's rank counts to n", "ranks-the_median"),
    Mutant("quantile_otherwise", _AGGREGATIONS, "a + (b - a) * f", "a * (1 - f) + b * f",
           "a quantile is interpolated in another form", "ranks-a_quantile_is_computed"),
    Mutant("quantile_of_infinities", _AGGREGATIONS, "CASE WHEN a = b THEN a ELSE", "CASE WHEN FALSE THEN a ELSE",
           "between two equal infinities lies NaN", "ranks-equal_neighbours"),
    Mutant("rarest_first", _AGGREGATIONS, "row(-CAST(x.value AS BIGINT), x.key)", "row(CAST(x.value AS BIGINT), x.key)",
           "the mode is the rarest value", "ranks-the_mode"),
    Mutant("frequency_ignored", _AGGREGATIONS, "by_frequency({_counted(m, taken)})[1].value",
           "list_min(list_transform({_counted(m, taken)}, lambda x: x.key))", "the mode is the least value", "ranks-the_mode"),
    Mutant("histogram_cap_off_by_one", _AGGREGATIONS, "by_frequency(h)[1:k]", "by_frequency(h)[1:k + 1]",
           "a histogram keeps one value more", "ranks-a_histogram_counts"),
    Mutant("histogram_unbounded", _CATALOGUE, "DEFAULT_HISTOGRAM_SIZE = 100", "DEFAULT_HISTOGRAM_SIZE = 1000",
           "a histogram keeps all it sees", "ranks-a_histogram_keeps"),
    Mutant("time_since_the_windows_end", _AGGREGATIONS, 'found = f"s.asked_at - {found}"',
           'found = f"s.asked_at - {output.offset} - {found}"',
           "time is measured to the end of the window", "ends-time_since_is_measured"),
    Mutant("time_since_swapped", _AGGREGATIONS, '"time_since_last": ("max",', '"time_since_last": ("min",',
           "the time since the last fact is that since the first", "ends-time_since_the_last"),
    Mutant("empty_list_is_null", _AGGREGATIONS, "if empty is not None:", "if empty == 0:",
           "over no facts a list is NULL", "ends-over_no_facts"),
    Mutant("all_is_any", _AGGREGATIONS, '"all": ("min", lambda m, _: m)', '"all": ("max", lambda m, _: m)',
           "one true value makes all of them true", "ranks-any_and_all"),
    Mutant("uint64_as_int64", _CATALOGUE, 'if dtype.is_decimal or dtype.name == "uint64" else', "if dtype.is_decimal else",
           "great whole numbers are lost", "ranks-least_and_greatest_of_every"),
    Mutant("sample_is_population", _MOMENTS, '"var_samp": 1, "var_pop": 0', '"var_samp": 0, "var_pop": 0',
           "a sample's variance is divided by n", "moments-the_mean_variance"),
    Mutant("deviation_is_variance", _MOMENTS, 'if aggregate.startswith("stddev") else found', "if False else found",
           "a standard deviation is a variance", "moments-the_mean_variance"),
    Mutant("mean_over_all_facts", _PAIRS, 'f"count({measure_name(number)})" if term == "n"', '"count(*)" if term == "n"',
           "NULLs make a mean smaller", "moments-nulls_are_no_values"),
    Mutant("infinities_of_both_signs", _MOMENTS, "OR (s // {_SPECIAL**2} > 0 AND (s // {_SPECIAL}) % ",
           "OR (FALSE AND s // {_SPECIAL**2} > 0 AND (s // {_SPECIAL}) % ",
           "+inf and -inf add up to one of them", "sums-infinities_and_nan"),
    # Rows that must stay
    Mutant("as_of_join_inner", _LATEST, "ASOF LEFT JOIN", "ASOF JOIN",
           "a row without a fact is gone", "training_set-pitfall_57"),
    Mutant("timeline_inner", _LATEST, "AS s LEFT JOIN matched AS m USING (row_id)", "AS s JOIN matched AS m USING (row_id)",
           "a row without a known fact is gone", "known_time-a_row_loaded_before"),
    Mutant("windows_inner", _SHARED, "LEFT JOIN {source} AS g", "JOIN {source} AS g",
           "a row with an empty window is gone", "windows-pitfall_33"),
    Mutant("expired_is_not_found", _LATEST, "> {plan.ttl} THEN {EXPIRED}", "> {plan.ttl} THEN {NOT_FOUND}",
           "an expired value looks as if there had been none", "latest-pitfall_24"),
    # Ties
    Mutant("ties_reversed", _LATEST, '", ".join(f"{c} DESC NULLS LAST" for c in columns)',
           '", ".join(f"{c} ASC NULLS LAST" for c in columns)', "of equal times the least row wins",
           "latest-pitfall_01_and_03"),
    Mutant("ties_nulls_first", _LATEST, '", ".join(f"{c} DESC NULLS LAST" for c in columns)',
           '", ".join(f"{c} DESC NULLS FIRST" for c in columns)', "of equal times NULL wins", "latest-pitfall_01_and_03"),
    Mutant("ties_by_name", _LATEST, "for c in facts.inputs)]\n    return",
           "for c in sorted(facts.inputs, key=lambda c: c.name))]\n    return",
           "ties are decided by columns in the order of their names", "latest-pitfall_02"),
    # Versions
    Mutant("replaced_for_ever", _LATEST, '{start} < m.asked_at AND m.asked_at <= r.until"', '{start} < m.asked_at"',
           "a version stays in force after the next is known", "versions-pitfall_19_a_tombstone"),
    Mutant("replaced_too_soon", _LATEST, "m.asked_at <= r.until", "m.asked_at < r.until",
           "a correction known at t already replaces at t", "versions-a_correction_replaces"),
    Mutant("replaced_seen_at_t", _LATEST, '{start} < m.asked_at AND m.asked_at <= r.until"',
           '{start} <= m.asked_at AND m.asked_at <= r.until"',
           "a fact that is later corrected is seen at its own instant", "versions-a_fact_later_replaced"),
    Mutant("replaced_exact_stays", _LATEST, "m.asked_at < r.until", "m.asked_at <= r.until",
           "with exact matches the predecessor still answers at t", "versions-with_exact_matches_a_tombstone"),
    Mutant("window_replaced_for_ever", _PAIRS, "(f.until IS NULL OR s.asked_at {'<' if exact else '<='} f.until)", "TRUE",
           "windows count every version of a fact", "versions-a_correction_replaces"),
    Mutant("window_replaced_too_soon", _PAIRS, "{'<' if exact else '<='} f.until", "< f.until",
           "in windows a correction known at t already replaces at t", "windows-windows_of_versions"),
    Mutant("version_order_reversed", _READ, '"DESC NULLS LAST" if descending else "ASC NULLS FIRST"',
           '"ASC NULLS FIRST" if descending else "DESC NULLS LAST"',
           "the oldest version is in force", "versions-a_correction_replaces"),
    Mutant("row_order_ignored", _READ, '["row_order"] if versions.facts.rows.source.row_order else []', "[]",
           "the declared order of versions counts for nothing", "versions-the_declared_order"),
    Mutant("until_the_very_next", _FACTS, "ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING",
           "ROWS BETWEEN 1 FOLLOWING AND 1 FOLLOWING",
           "only the next version in order replaces, known as late as it may be", "versions-any_later_version"),
    Mutant("tombstone_is_a_fact", _READ, 'holds.append(f"{quoted(source.deleted)} IS NOT TRUE")', "pass",
           "a deleted version answers", "versions-pitfall_19_a_tombstone"),
    Mutant("tombstone_does_not_hide", _FACTS, """{not_null([*row_keys, 'known_time'])} AND known_time""",
           """{not_null([*row_keys, 'known_time'])} AND NOT deleted AND known_time""",
           "a tombstone is left out instead of hiding its fact", "versions-pitfall_19_a_tombstone"),
    Mutant("where_before_versions", _FACTS, """{not_null([*row_keys, 'known_time'])} AND known_time""",
           """{not_null([*row_keys, 'known_time'])} AND holds AND known_time""",
           "the view's condition picks among versions: a voided payment stays settled", "versions-a_condition_is_judged"),
    Mutant("timeless_version_does_not_hide", _FACTS, """{not_null([*row_keys, 'known_time'])} AND known_time""",
           """{not_null([*row_keys, 'known_time', 'event_time'])} AND known_time""",
           "a correction to no time at all is left out instead of hiding", "versions-a_version_with_a_null_event"),
    # Reading times
    Mutant("naive_is_utc", _TIMES, "return micros if column.type.tz is not None else localized(micros, reading)",
           "return micros",
           "a source's zone is forgotten", "times-a_naive_time_is_read"),
    Mutant("naive_file_read_as_it_lies", _READING, '(arrow.tz is not None or source.zone_of(column) == "UTC")', "True",
           "a naive file is handed to the engine as UTC", "times-a_naive_time_is_read"),
    Mutant("spine_zone_ignored", _SPINE, "TimeReading(zone=zone(timezone).key, format=as_of_format",
           'TimeReading(zone="UTC", format=as_of_format',
           "a naive spine is read in UTC", "times-pitfall_34"),
    Mutant("fold_earlier_in_source", _TIMES, '"latest" if reading.later else "earliest"', '"earliest"',
           "a repeated hour is its first pass", "times-pitfall_36_a_repeated_hour_is_its_second"),
    Mutant("fold_later_in_spine", _TIMES, '"latest" if reading.later else "earliest"', '"latest"',
           "a spine's repeated hour is its second pass", "times-pitfall_36_a_repeated_hour_is_its_first"),
    Mutant("source_ns_down", _TIMES, "pc.if_else(exact, 0, 1)) if up else whole", "0) if up else whole",
           "a source's nanoseconds round down", "times-pitfall_38_nanoseconds_round_up"),
    Mutant("spine_ns_up", _TIMES, "return pc.add(whole, pc.if_else(exact, 0, 1)) if up else whole",
           "return pc.add(whole, pc.if_else(exact, 0, 1))",
           "a spine's nanoseconds round up", "times-pitfall_38_nanoseconds_round_down"),
    Mutant("text_ns_down", _TIMES, "    if reading.later:\n        micros = pc.add(", "    if False:\n        micros = pc.add(",
           "nanoseconds written as text round down", "times-pitfall_42"),
    Mutant("text_offset_ignored", _TIMES, "pc.subtract(local, pc.fill_null(_offset_micros(offset), 0))", "local",
           "the offset of a written time is forgotten", "times-pitfall_42"),
    Mutant("date_is_its_start", _TIMES, "date_is=source.date_is,", 'date_is="start",',
           "a day's total is known that morning", "times-pitfall_15_a_date_is_known"),
    Mutant("date_ends_in_utc", _TIMES, "_in_zone(midnights, reading.zone, repeated", '_in_zone(midnights, "UTC", repeated',
           "a day in New York ends when it ends in London", "times-a_date_ends"),
    Mutant("date_spine_is_its_end", _TIMES, '"end"] | str = "start"', '"end"] | str = "end"',
           "a DATE spine sees its whole day", "times-pitfall_40"),
    # Labels
    Mutant("label_without_gap", _PLAN, "ahead=view.reach", "ahead=view.window.micros",
           "a label begins at t, gap or not", "labels-a_gap_moves"),
    Mutant("label_of_what_was_known_in_time", _BOUNDARY, '    if isinstance(boundary, Settled):\n        return "event_time"',
           '    if isinstance(boundary, Settled):\n        return "greatest(event_time, known_time)"',
           "a dispute reported after the window's end is no dispute", "labels-a_label_counts_what"),
    Mutant("label_exact_ignored", _PLAN, "Settled(_chain(bound, keys), exact)", "Settled(_chain(bound, keys), False)",
           "what happens at t is a feature and a label", "labels-with_exact_matches"),
    Mutant("label_exact_if_all_are", _REGISTRY, "return any(i.bound.view.allow_exact_matches", 
           "return all(i.bound.view.allow_exact_matches", "one exact view among others is forgotten", "labels-one_view"),
    Mutant("label_told_before_mature", _TRAINING, "super()._finished(kept(table, mature))", "super()._finished(table)",
           "a label counts what has happened so far", "labels-a_label_that_is_not_mature"),
    Mutant("label_mature_too_late", _LABELS, "pc.less_equal(instants", "pc.less(instants",
           "a label that is just complete is withheld", "labels-a_label_is_mature"),
    Mutant("label_not_settled", _PLAN, "bound.fingerprint, window, view.horizon)", "bound.fingerprint, window, view.reach)",
           "a label is told while its facts still arrive", "labels-settle_says"),
    Mutant("settle_without_delay", _LABEL_VIEW, "return self.source.known_delay", "return Duration(0)",
           "a source that lags is taken for complete", "labels-a_label_is_mature"),
    Mutant("label_mature_beyond_the_cutoff", _LABELS, "min(cutoff, greatest_known) - label", "greatest_known - label",
           "a label is told though the cut-off falls into its window", "labels-the_cut_off_bounds"),
    Mutant("label_mature_beyond_the_source", _LABELS, "min(cutoff, greatest_known) - label", "cutoff - label",
           "a label is told of a time the source does not reach", "labels-a_cut_off_beyond"),
    Mutant("source_known_by_event", _COUNTS, 'f"SELECT {known_time(rows)}', 'f"SELECT {event_time(rows.source)}',
           "a source is known as far as its events go", "labels-settle_says"),
    Mutant("label_of_every_version", _FACTS, "FROM newest_versions WHERE {live(boundary)}",
           "FROM versions WHERE {live(boundary)}", "a corrected fact counts twice in a label", "labels-the_version_in_force"),
    Mutant("label_as_feature", _SERVICE, '"features", FeatureView)', '"features", View)',
           "a label view may stand among the features", "labels-a_label_view_is_no_feature"),
    # Online
    Mutant("pending_displaces", _STATE,
           'usable = "event_time <= $known_before" if visible.exact else "event_time < $known_before"',
           'usable = "TRUE"', "a fact known ahead displaces the one that answers now", "online-a_fact_known_ahead"),
    Mutant("pending_at_w_displaces", _STATE, 'if visible.exact else "event_time < $known_before"',
           'if visible.exact else "event_time <= $known_before"',
           "a fact at the watermark displaces the one that answers at it", "online-what_happens_at_the_watermark"),
    Mutant("online_sees_t", _VIEW, '0 if view["allow_exact_matches"] else 1', "0",
           "a look-up sees what happens at its own instant", "online-a_fact_known_ahead"),
    Mutant("pending_at_once", _VIEW, "if entry[0] == CANDIDATE and entry[1] <= bound:", "if entry[0] == CANDIDATE:",
           "a look-up sees pending facts", "online-a_fact_known_ahead"),
    Mutant("windows_count_pending", _VIEW, "end = bisect_left(times, t + high)", "end = len(times)",
           "a window online counts pending facts", "online-a_fact_known_ahead"),
    Mutant("online_offset_ignored", _VIEW, 'self._high: int = shift - feature["offset"]', "self._high: int = shift",
           "online every window ends at t", "online-windows_move_on"),
    Mutant("online_window_long", _VIEW, 'else self._high - feature["window"]', 'else self._high - feature["window"] - 1',
           "a window online is 1 µs long", "online-windows_move_on"),
    Mutant("online_reach_short", _STATE, "current WHERE event_time >= $known_before -",
           "current WHERE event_time > $known_before -",
           "the oldest fact of a window is not kept", "online-windows_move_on"),
    Mutant("online_ttl_longer", _VIEW, "t - event > self._ttl:", "t - event > self._ttl + 1:",
           "a value lives 1 µs beyond its ttl online", "online-ttl_is_measured"),
    Mutant("online_known_time_lost", _STATE, '"known_time" if kind == IN_WINDOW', '"event_time" if kind == IN_WINDOW',
           "the store forgets which of two facts was known first", "online-online_too_the_first"),
    Mutant("online_ties_by_arrival", _FOLDS, "while start > 0 and facts[start - 1][0] == facts[start][0]:", "while False:",
           "online the last of equal event times is the one stored last", "ends-of_equal_event_times_the_known_time (store)"),
    Mutant("online_time_since_null", _COLUMNAR, "if record.find(1, at, at + facts) < 0:", "if True:",
           "online a fact without value counts as seen", "ends-time_since_the_last (store)"),
    Mutant("online_time_since_the_windows_end", _VIEW, "[t - time for time in", "[t + self._high - time for time in",
           "online time is measured to the end of the window", "ends-time_since_is_measured (store)"),
    Mutant("online_max_k_ascending", _FOLDS, "key=rank, reverse=True)[:k]", "key=rank)[-k:]",
           "online the k greatest ascend", "ranks-the_least_and_the_greatest_value (store)"),
    Mutant("online_nan_is_least", _ORDER, "return (1, 0.0) if value != value", "return (-1, 0.0) if value != value",
           "online NaN is less than -inf", "ranks-least_and_greatest_of_every (store)"),
    Mutant("online_quantile_rank_of_n", _FOLDS, "place = q * (len(ordered) - 1)",
           "place = min(q * len(ordered), len(ordered) - 1)",
           "online a quantile's rank counts to n", "ranks-the_median (store)"),
    Mutant("online_mode_by_arrival", _FOLDS, "key=lambda item: (-item[1], item[0])", "key=lambda item: -item[1]",
           "online the mode of equals is the one seen first", "ranks-the_mode (store)"),
    Mutant("online_histogram_unbounded", _FOLDS, "return lambda values: count(values)[:k]", "return count",
           "online a histogram keeps all it sees", "ranks-a_histogram_counts (store)"),
    Mutant("online_overflow_wraps", _FOLDS, "if not -(2**63) <= total < 2**63:", "if False:",
           "online a sum beyond int64 is answered", "online-a_sum_that_leaves"),
    Mutant("online_variance_of_all", _EXACT, "n * (n - less) * unit**2", "n * n * unit**2",
           "online a sample's variance is divided by n", "moments-the_mean_variance (store)"),
    Mutant("exact_until_ignored", _VIEW, "self._read(record)\n        if t > facts.exact_until:",
           "self._read(record)\n        if False:",
           "an old value is served where a newer fact was held back", "online-beyond_a_fact"),
    Mutant("exact_until_at_the_event", _RECORDS, "state.event.take(starts), self._early", "state.event.take(starts), 0",
           "with exact matches an old value is served at the held-back fact's instant", "online-beyond_a_fact"),
    Mutant("held_back_forgotten", _STATE, "in_force WHERE event_time >= $known_before + $horizon GROUP BY ALL",
           "in_force WHERE event_time > $known_before + $horizon GROUP BY ALL",
           "a fact exactly at the horizon is neither kept nor held back", "online-beyond_a_fact"),
    Mutant("asked_before_w", _LOOKUP, "if as_of < self.watermark:", "if False:",
           "the past is answered with what is known now", "online-an_instant_before"),
    Mutant("w_goes_back", _RUN, "if newest is not None and watermark < newest.watermark:", "if False:",
           "a run with an earlier cut-off undoes a later one", "online-an_instant_before"),
    Mutant("late_rows_missed", _STATE, "(known_time >= $previous AND known_time < $known_before) OR", "",
           "a run looks at new files only", "online-rows_that_became_known"),
    Mutant("late_row_at_w_missed", _STATE, "(known_time >= $previous AND", "(known_time > $previous AND",
           "a row known at the last watermark is never seen", "online-rows_that_became_known"),
    Mutant("held_back_for_ever", _STATE, " OR event_time >= $previous + $horizon", "",
           "what was held back once is never read again", "online-a_fact_that_one_run"),
    Mutant("moved_key_kept", _STATE, "relation(facts.rows.source))\n    of_these",
           'f"{NEW_PREFIX}{facts.rows.source.name}")\n    of_these',
           "a fact moved to another key still answers for the old one", "online-a_correction_that_moves"),
    Mutant("empty_key_kept", _RUN, "dict.fromkeys(keys, ABSENT)", "dict[bytes, bytes]()",
           "a key whose last fact was deleted keeps its record", "online-a_tombstone"),
    Mutant("online_version_order_reversed", _FACTS, "version_order(boundary, descending=True)",
           "version_order(boundary, descending=False)",
           "online the oldest version is in force", "online-of_versions"),
    Mutant("online_versions_unjudged", _STATE, "FROM newest_versions{semi} WHERE {live(visible)}",
           "FROM newest_versions{semi} WHERE event_time IS NOT NULL",
           "online a voided payment stays settled", "online-of_versions"),
    # On demand
    Mutant("input_of_other_keys", _INSTANCES, "return self.view, self.key_columns, self.prefix", 'return self.view, (), ""',
           "an input looked up by other keys is taken for the instance the service lists", "on_demand-inputs_are_named"),
    Mutant("on_demand_runs_ahead", _ON_DEMAND, "at.cast(TIMESTAMP.arrow)", "pc.add(at, 1).cast(TIMESTAMP.arrow)",
           "an expression's as_of is not the row's", "on_demand-as_of_is_the_row"),
    Mutant("on_demand_always_present", _ON_DEMAND, 'pc.if_else(pc.is_valid(value), "present", "null")',
           'pc.if_else(pc.is_valid(value), "present", "present")', "a feature without a value is called present",
           "on_demand-a_ratio_of"),
    Mutant("request_zone_ignored", _SPINE, 'TimeReading(zone=zone(timezone).key, format="iso8601")',
           'TimeReading(zone="UTC", format="iso8601")', "a naive time of the request is read in UTC",
           "on_demand-a_naive_time"),
    Mutant("misfit_request_is_null", _SPINE, "bad = pc.index(pc.and_(read.is_null(), values.is_valid()), True).as_py()",
           "bad = -1", "a request value its type cannot hold is lost in silence", "on_demand-a_value_that_the_request"),
    Mutant("null_operands_counted", _TREES, """return _all([Call("is_null", (expression,)), *present])""",
           """return Call("is_null", (expression,))""", "a NULL operand counts as an operation without a value",
           "on_demand-an_operation_without"),
    Mutant("guards_unseen", _TREES, "_all([undecided, _missed(second, types)])", "_missed(second, types)",
           "what a guard keeps from being computed is counted", "on_demand-what_a_guard"),
    Mutant("stale_input_evaluated", _ON_DEMAND_ONLINE,
           "missing = [unknown[i] for i in feature.reads if i in unknown] if unknown else []", "missing = list[str]()",
           "an expression is evaluated over what the store does not know", "online-what_an_on_demand"),
    Mutant("on_demand_online_runs_ahead", _ON_DEMAND_ONLINE, 'known["as_of"] = t', 'known["as_of"] = t + 1',
           "online an expression's as_of is not the instant asked for", "online-on_demand_features_read"),
    Mutant("on_demand_online_always_present", _ON_DEMAND_ONLINE, "NULL if value is None else PRESENT", "PRESENT",
           "online a feature without a value is called present", "online-on_demand_features_read"),
    # Rows in quarantine
    Mutant("quarantine_forgotten", _READ, "tests = [self.where_holds(rows, test) for _, test in rows.kept_if]", "tests = []",
           "rows in quarantine are read like all others", "quarantine-a_row_that_is_not"),
    Mutant("quarantine_hides", _READ,
           "[*self._version_columns(rows, versions, held), *columns], self.where(rows)",
           '[*self._version_columns(rows, versions, rows.kept_if[0][1] if rows.kept_if else held), *columns], ""',
           "a version in quarantine is judged once it is in force, and hides its predecessor", "quarantine-a_version"),
    Mutant("quarantine_of_static_rows", "featurestore/compiler/duckdb/static.py",
           "kept = where(plan.rows, *([]", 'kept = "" if plan.condition is None else where(plan.rows, *([]',
           "a static row in quarantine is a second row of its key", "quarantine-of_a_static"),
    Mutant("null_is_unexpected", _EXPECTED,
           'return Call("or", (Call("is_null", (column,)), self._test(column, types[self.column])))',
           "return self._test(column, types[self.column])",
           "a NULL passes no expectation", "quarantine-text_is_compared"),
    Mutant("not_null_passes_null", _EXPECTED,
           'return Call("not", (Call("is_null", (column,)),))', 'return Call("is_null", (column,))',
           "not_null wants NULL", "quarantine-a_tombstone"),
    Mutant("bound_excluded", _EXPECTED, '("greater_equal", "less_equal"), literals', '("greater_equal", "less"), literals',
           "the upper bound is not between the bounds", "quarantine-a_row_that_is_not"),
    Mutant("tested_columns_order_versions", _PLAN, "for c in bound.view.value_columns if", "for c in bound.view.columns if",
           "a column read for an expectation alone decides between versions", "quarantine-a_column_that_is_read"),
    Mutant("quarantine_tells_how_far_a_source_is", _COUNTS, "AS known_time\\nFROM {relation(rows.source)}{where(rows)}",
           "AS known_time\\nFROM {relation(rows.source)}", "a row in quarantine makes labels mature", "quarantine-a_label"),
    Mutant("quarantine_counted_last", _COUNTS,
           'tests = [*((reason, f"NOT {name}") for reason, name in zip(reasons, set_aside, strict=True)), *tests]',
           'tests = [*tests, *((reason, f"NOT {name}") for reason, name in zip(reasons, set_aside, strict=True))]',
           "a row in quarantine is counted under another reason", "quarantine-a_row_counts_under"),
    Mutant("pattern_matches_a_part", "featurestore/compiler/duckdb/scalars.py",
           'func("regexp_full_match", args[0], exp.Literal.string(patterns',
           'func("regexp_matches", args[0], exp.Literal.string(patterns',
           "a pattern is found anywhere in the text", "quarantine-text_is_compared"),
    Mutant("dot_matches_a_line_feed", _PATTERNS,
           "return (Chars(((10, 10),), negated=True),)", "return (Chars(((0, 0),), negated=True),)",
           "a dot stands for a line feed as well", "expressions-the_whole_text"),
    # Judged
    Mutant("audit_calls_late_future", _BELIEF, "if one.why.cause == LATE:", "if one.why.cause == 0:",
           "what had happened is called future where a later instant gives it too", "judged-late beside"),
    Mutant("audit_ties_the_expired", _EXPLAIN,
           'return pc.and_(held["tie_known"].is_valid().combine_chunks(), pc.invert(_expired(asking, part, wrong)))',
           'return held["tie_known"].is_valid().combine_chunks()', "an expired fact is its own twin", "judged-x=7.5"),
    Mutant("audit_accuses_nothing", _BELIEF, "telling = pc.and_(wrong.open, pc.invert(empty))", "telling = wrong.open",
           "NULL or 0 alone makes a leak", "judged-x=6.5"),
    Mutant("audit_excuses_last_digits", "featurestore/audit/columns.py",
           "self.dtype.is_float and self.aggregate in ROUNDED", "self.dtype.is_float",
           "a latest value may be another in its last digits", "judged-rounding"),
    Mutant("audit_keeps_the_first_of_twins", "featurestore/audit/matching.py",
           "key=lambda row: (faults[row], row)", "key=lambda row: row", "of two rows the wrong one stays", "judged-twins"),
    Mutant("audit_forgives_a_missing_column", "featurestore/audit/judge.py",
           "audit.features[name].causes = {EXACT: 0, UNMATCHED: self.file.rows}",
           "audit.features[name].causes = {EXACT: self.file.rows}", "a feature that is not there is right", "judged-renamed"),
    Mutant("audit_names_a_later_row", _AROUND, "min({event_first}) FILTER (WHERE {future}) AS future",
           "max({event_first}) FILTER (WHERE {future}) AS future", "the last fact after as_of is named, not the next",
           "judged-x=5.5"),
    # What proves, and what measures
    Mutant("probe_begins_late", _PERTURBED, "{_counts_from(asked.source)} >= until)", "{_counts_from(asked.source)} > until)",
           "what counts from the very next instant on is not touched", "prove-created-touches"),
    Mutant("probe_forgets_exact_matches", _PERTURBED, "max(asked_at) + {int(exact)} AS until", "max(asked_at) AS until",
           "a probe touches what an exact match sees", "prove-created exact-touches"),
    Mutant("probe_forgets_known_time", _PERTURBED, 'return "k" if source.row_key else "greatest(e, k)"',
           'return "k" if source.row_key else "e"', "what is known late is not touched", "prove-created-touches"),
    Mutant("probe_forgets_other_versions", _PERTURBED, """return f"max(own_until) OVER (PARTITION BY""",
           """return f"min(own_until) OVER (PARTITION BY""",
           "a version is touched that hides one of another key", "prove-versions-touches"),
    Mutant("copies_come_early", _PERTURBED, 'at = "until - 1" if asked.control else "until"',
           'at = "until - 1"', "copies are added where they are seen", "prove-created exact-is_proven"),
    Mutant("moves_from_null_unseen", _CELLS, "return pc.or_(one_is_null, pc.and_(both, pc.fill_null(",
           "return pc.or_(pa.repeat(pa.scalar(False), len(a)), pc.and_(both, pc.fill_null(",
           "a value that becomes NULL has not moved", "prove-every_difference"),
    Mutant("nothing_left_out", _REACH, "OR cases.row <> timed.__row", "OR cases.row <> timed.__row OR TRUE",
           "a value without a row is the value with it", "influence-without_the_winner"),
    Mutant("reach_sees_t", _REACH, 'compare = "<=" if asked.exact', 'compare = "<=" if True',
           "what happens at t is in reach", "influence-without_the_winner"),
    Mutant("reach_ends_late", _REACH, """after, before = (">", "<=") if asked.exact else (">=", "<")""",
           """after, before = (">=", "<=") if asked.exact else (">=", "<=")""",
           "a window with an offset has one row more in reach", "influence-a_window_reaches"),
    Mutant("null_ranks_by_size", _INFLUENCE, "return not self.null, -self.moves", "return -self.moves",
           "a value that becomes NULL ranks by its size", "influence-null_is_farther"),
    Mutant("null_is_near", _INFLUENCES, "return float(abs(a - b)) or 1.0", "return float(abs(a - b))",
           "from 0 to NULL is no distance", "influence-null_is_farther"),
    # Split, built again, compared
    Mutant("split_window_holds_no_end", _SPLITS, "pc.greater_equal if self._service.exact else pc.greater", "pc.greater",
           "with exact matches a label counts an event at the first instant of the test", "remade-the_label_of_no_row"),
    Mutant("split_gap_forgotten", _SPLITS, "[label.bound.view.reach for", "[label.bound.view.window.micros for",
           "a label that begins later is purged as if it began at once", "remade-the_label_of_no_row"),
    Mutant("split_misses_its_first_instant", _SPLITS, "inside = pc.greater_equal(self._at, start)",
           "inside = pc.greater(self._at, start)", "a row at the first instant of the test trains",
           "remade-the_label_of_no_row"),
    Mutant("split_embargo_ignored", _SPLITS, "start - self._split.embargo", "start",
           "rows just before the test train", "remade-an_embargo"),
    Mutant("split_entity_on_both_sides", _SPLITS, "codes = pc.if_else(also, PURGED, codes)",
           "codes = pc.if_else(also, codes, codes)",
           "a customer of the test is trained on", "remade-an_entity"),
    Mutant("split_null_is_an_entity", _SPLITS, "lots = pc.if_else(named, _hashed(keys, self._split.seed), lots)",
           "lots = _hashed(keys, self._split.seed)", "all rows without a key are in one part", "remade-the_order"),
    Mutant("split_by_place", _SPLITS, "for name in sorted(self._service.spine_keys)), self._at]",
           "for name in sorted(self._service.spine_keys)), pa.arange(0, len(self._at))]",
           "a row's part hangs on where it stands", "remade-the_order"),
    Mutant("rebuild_goes_by_size", _CHANGES,
           'for k, v in entry.items() if k != "path"}', 'for k, v in entry.items() if k == "size"}',
           "a file of the same size is taken for the same", "remade-a_flipped_bit"),
    Mutant("rebuild_with_later_files", _INPUTS, "reopen_source(source, recorded, folder, self.identities, push)",
           "open_source(source, folder, push)", "files that came later are built with", "remade-a_file_that_came_later"),
    Mutant("rebuild_looks_away", _REBUILD, "    if found != said:\n        done.changed", "    if False:\n        done.changed",
           "a set that was changed by hand passes", "remade-a_set_that_was"),
    Mutant("diff_by_value", _CELLS, "pc.not_equal(a.view(bits), b.view(bits))", "pc.not_equal(a, b)",
           "0.0 is -0.0", "remade-cells_are"),
    Mutant("diff_nan_differs", _CELLS, "pc.and_(*map(pc.is_nan, wide))", "pa.scalar(False)",
           "one NaN may differ from another", "remade-cells_are"),
    Mutant("diff_duplicates_unordered", _ROWS, 'on=[*names, "nth"]', "on=names",
           "each of two equal rows is matched with both", "remade-duplicates"),
    # Told
    Mutant("lineage_forgets_ties", _LINEAGE, """if output.aggregate is None:
        yield""", """if output.aggregate == "":
        yield""", "a column that decides between equals is not named", "told-a_feature_comes_from"),
    Mutant("lineage_forgets_where", _LINEAGE, 'conditions = [("where", condition), *', 'conditions = [("where", None), *',
           "the columns of a view's where are not named", "told-a_feature_comes_from"),
    Mutant("lineage_forgets_quarantine", _LINEAGE, "for _, test in rows.kept_if", "for _, test in rows.kept_if[:0]",
           "the columns that set rows aside are not named", "told-a_feature_comes_from"),
    Mutant("lineage_forgets_conditions", _LINEAGE, "if output.where is not None:", "if output.expression is None:",
           "the columns of an aggregate's own where are not named", "told-a_feature_comes_from"),
    Mutant("lineage_forgets_the_known_time", _LINEAGE, "if source.created_timestamp is not None:",
           "if source.created_timestamp is None:", "when a row became known is not named", "told-a_feature_comes_from"),
    Mutant("lineage_forgets_tombstones", _LINEAGE, "if rows.source.deleted is not None:", "if rows.source.deleted == 0:",
           "the column of deletions is not named", "told-versions_are"),
    Mutant("lineage_forgets_version_order", _LINEAGE, "for column in versions.order)", "for column in ())",
           "columns that decide between versions are not named", "told-versions_are"),
    Mutant("lineage_forgets_row_order", _LINEAGE, "if rows.source.row_order is not None:", "if rows.source.row_order == 0:",
           "the column that says which version is newer is not named", "told-versions_are"),
    Mutant("lineage_forgets_the_request", _LINEAGE, "yield Use(None, column, True, how, formula(output))", "yield from ()",
           "what a request brings is not named", "told-a_feature_comes_from"),
    Mutant("lineage_by_the_view_s_keys", _LINEAGE, "(None, key.spine_column, False", "(None, key.name, False",
           "an instance is said to be asked for by the keys of its view", "told-an_instance"),
    Mutant("flow_takes_prefixed_names", _FLOW, "instance.bound.name, feature.name), Node(\"served\"",
           "instance.bound.name, out), Node(\"served\"", "a column of a service comes from no feature", "told-an_instance"),
    Mutant("flow_reads_the_first_input", _FLOW, "yield Edge(inputs[operand], end)",
           "yield Edge([*inputs.values()][1], end)", "an on-demand feature comes from another operand", "told-an_instance"),
    Mutant("lineage_of_an_operand_is_the_operand", _LINEAGE, "for use in known[operand.column]:",
           "for use in known[operand.column][:0]:", "an on-demand feature comes from nothing", "told-a_feature_comes_from"),
    Mutant("interrupted_is_failed", _RUNS, "if isinstance(error, Exception):", "if isinstance(error, BaseException):",
           "a run that was stopped is told as one that failed", "told-runs_are_told"),
    Mutant("each_event_its_own_run", _RUNS, '"run": {"runId": self.id,', '"run": {"runId": str(uuid.uuid4()),',
           "no end belongs to a start", "told-runs_are_told"),
    Mutant("failed_runs_have_made_something", _RUNS,
           """self._send("FAIL", {"errorMessage": facets.error_message(error)}, self.inputs, lambda: self.outputs(None))""",
           """self.complete(None)""", "a run that failed is told as complete", "told-runs_are_told"),
    Mutant("errors_tell_secrets", "featurestore/openlineage/facets.py", '_SECRETS.sub("…", told)', "told",
           "a password is told", "told-no_secret"),
    Mutant("events_are_lost_in_silence", "featurestore/openlineage/sending.py", "return self._asked - self._taken", "return 0",
           "nobody hears of events that were not taken", "told-lost_events"),
    Mutant("every_container_has_process_1", "featurestore/atomic.py", 'return f"{os.getpid()}-{_here()}"',
           'return f"{os.getpid()}"', "two containers write one file aside", "told-what_another_machine"),
    Mutant("sweeps_elsewhere", "featurestore/atomic.py", 'if where in ("", _here()):', "if True:",
           "what a living writer elsewhere writes is swept", "told-what_another_machine"),
    # Profiled
    Mutant("points_of_the_end", _POINTS, "middle = (2 * edges[:, :-1] + 1) * total // (2 * most)",
           "middle = np.maximum(ends[:, 1:] - 1, 0)", "a share of rows is told by its last one, twice as far off",
           "profiled-points_within"),
    Mutant("points_forget_their_error", _POINTS, "        errors[: len(part.errors)] += part.errors",
           "        errors[: len(part.errors)] = part.errors", "what was merged is as exact as its last part",
           "profiled-points_within"),
    Mutant("moments_without_the_way_between", "featurestore/profiles/moments.py", "squares + rest * rest * counts", "squares",
           "merged parts are spread as each is by itself", "profiled-merged_moments"),
    Mutant("profile_takes_infinity", "featurestore/profiles/columns.py", "finite = np.isfinite(values)",
           "finite = ~np.isnan(values)", "an infinite value is the greatest", "profiled-nulls_and_nans"),
    Mutant("counters_forget_their_error", "featurestore/profiles/tops.py", "left[kept], self.errors + taken)",
           "left[kept], self.errors)", "counts that are too small are told as exact", "profiled-counts_never"),
    Mutant("registers_fold_by_their_order", "featurestore/profiles/distinct.py", "wide).max(axis=-1)", "wide).min(axis=-1)",
           "coarser registers forget what was seen", "profiled-registers_fold"),
    Mutant("profile_of_whatever_lies_there", "featurestore/retrieval/output.py", "if folders.identity(place) == named:",
           "if place.exists():", "the profile of another set is taken for this one's", "profiled-profiles_of"),
    # Shown
    Mutant("limited_key_sees_all", "featurestore/server/page/known.py", "catalogue = catalogue.seen_by(key.may_see)",
           "pass", "a key for one service is shown every other", "shown-a_page_needs"),
    Mutant("namesake_is_seen", _ENTRIES, 'return ("view", entry.view) in seen and all(', "return all(",
           "features of a view that may not be seen are shown, as if a namesake were meant", "shown-a_key_sees"),
    Mutant("on_demand_shows_what_it_reads", _ENTRIES, 'if self.entries[ref].facts.get("kind") != ON_DEMAND:', "if True:",
           "inputs that a service does not need are shown", "shown-a_key_sees"),
    Mutant("on_demand_features_of_others", _ENTRIES, 'and all(("view", view) in seen for view in read)', "",
           "a feature made of what may not be seen is shown", "shown-a_key_sees"),
    Mutant("columns_of_others", _ENTRIES, """facts.get("columns", {}).items() if name in kept""",
           """facts.get("columns", {}).items()""", "columns that only others read are named",
           "shown-a_key_sees"),
    Mutant("page_needs_no_key", _PAGE, "            if not wants_html(exchange):\n                raise",
           "            if not wants_html(exchange):\n                return await self._page(exchange)",
           "a program without a key reads pages", "shown-a_page_needs"),
    Mutant("page_of_any_name", _PAGE, "return ipaddress.ip_address", "return True or ipaddress.ip_address",
           "a name made to mean this machine is answered", "shown-without_keys"),
    Mutant("session_never_ends", _SESSIONS, " and int(until) > time.time()", "",
           "a session of long ago is one", "shown-a_session"),
    Mutant("session_signs_no_end", _SESSIONS, "key.id.encode(), until, key", 'key.id.encode(), b"", key',
           "who is signed in says until when", "shown-a_session"),
    Mutant("session_pushes", _KEYS, 'for scope in known.scopes if scope == "lookup"',
           "for scope in known.scopes", "a browser may push", "shown-a_session"),
    Mutant("session_used_from_elsewhere", _KEYS, "not proven or not from_here(headers)", "not proven",
           "a page of another port asks in the name of who is signed in", "shown-a_session"),
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """broken: the mutant could not be planted or does not run, so that its death says nothing about leaks."""

    name: str
    seconds: float
    killed_by: str | None
    how: str
    broken: bool

    @property
    def killed(self) -> bool:
        return self.killed_by is not None and not self.broken

    def __str__(self) -> str:
        why = f"  BROKEN: {self.how}" if self.broken else ""
        fate = "SURVIVED" if self.killed_by is None else self.killed_by + why
        return f"{self.name:<32} {self.seconds:5.1f} s  {fate}"


def pristine(folder: Path) -> Path:
    """A copy of what the suite needs, as the work tree is at this moment; compiled, so that no mutant has to be."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, folder / name)
    compileall.compile_dir(folder, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    return folder


def plant(mutant: Mutant, folder: Path) -> None:
    """Put the mutant into a copy. Raises: ValueError when its snippet is not there once."""
    path = folder / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise ValueError(f"its snippet occurs {text.count(mutant.old)} times in {mutant.file}")
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")


def judged(mutant: Mutant | None, source: Path) -> Verdict:
    """The fate of a mutant, or of the code as it is, in a copy of `source`."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="featurestore-mutant-") as folder:
        copy = Path(shutil.copytree(source, Path(folder) / "copy"))
        try:
            if mutant is not None:
                plant(mutant, copy)
            said = suite(copy, "online", 5 * PATIENCE) if mutant is None else suite(copy, mutant.killer)
        except ValueError as error:
            said = {"killed_by": "", "how": str(error), "broken": True}
    return Verdict(mutant.name if mutant is not None else "none", time.monotonic() - start, **said)


def suite(copy: Path, killer: str, patience: int = PATIENCE) -> dict[str, Any]:
    """What the focused suite says of the code in `copy`: asked in a process that has never seen any other."""
    context = multiprocessing.get_context("forkserver")
    answer, told = context.Pipe(duplex=False)
    process = context.Process(target=_run_suite, args=(copy, killer, told))
    process.start()
    told.close()
    try:
        said: dict[str, Any] = answer.recv() if answer.poll(patience) else _nothing_told(f"no end after {patience} s")
    except EOFError:
        said = _nothing_told("the process died")
    process.join(ENDS_WITHIN)  # it has a server to stop
    process.kill()
    process.join()
    return said


def _nothing_told(why: str) -> dict[str, Any]:
    return {"killed_by": "", "how": why, "broken": True}


def _run_suite(copy: Path, killer: str, told: Connection) -> None:
    os.chdir(copy)
    os.environ["FEATURESTORE_OFFLINE__THREADS"] = "1"
    sys.path[:] = [str(copy), *(entry for entry in sys.path if Path(entry).resolve() != ROOT)]
    try:
        focused = importlib.import_module("tests.mutants.focused")
        told.send(focused.judge(copy, killer))
    except Exception as error:
        told.send(_nothing_told(f"{type(error).__name__}: {error}"))


def main(names: Sequence[str]) -> int:
    unknown = set(names) - {mutant.name for mutant in MUTANTS}
    if unknown:
        print(f"no such mutant: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(LIBRARIES))
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="featurestore-mutants-") as folder, ThreadPoolExecutor(WORKERS) as pool:
        source = pristine(Path(folder))
        unharmed = pool.submit(judged, None, source)
        verdicts = []
        for verdict in pool.map(lambda mutant: judged(mutant, source), (m for m in MUTANTS if not names or m.name in names)):
            verdicts.append(verdict)
            print(verdict, flush=True)
    killed = sum(verdict.killed for verdict in verdicts)
    print(f"{killed} of {len(verdicts)} mutants killed in {time.monotonic() - start:.0f} s")
    if unharmed.result().killed_by is not None:
        print(f"the suite fails without a mutant, so that kills prove nothing: {unharmed.result()}")
    return 0 if killed == len(verdicts) and unharmed.result().killed_by is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

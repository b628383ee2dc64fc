"""Tests that take longest for what they tell every day; they run with the slow ones. Of each kind others like them stay.

An entry is the beginning of a test's name as pytest prints it, from `tests/` on.
"""

from __future__ import annotations

_PAGES = (
    "audit", "backfill", "boards", "build-training-sets", "check-sources", "drift", "feast", "freshness", "influence", "labels",
    "lineage", "on-demand-features", "operate", "orchestrate", "page", "postgres", "profiles", "prove", "push", "rebuild",
    "retrain", "scale-out", "serve", "serve-log", "skew", "sources", "split", "tables", "verify",
)  # fmt: skip
_KNOWABLE = "property/test_metamorphic.py::test_what_was_not_knowable_moves_nothing"
_PLANTED = "functional/test_audit.py::test_planted_cells_get_their_cause_and_the_source_row_that_explains_them"

DEAR = (
    "browser/test_pages.py::test_pages_can_be_read_in_the_dark",
    "browser/test_pages.py::test_pages_fit_a_phone",
    "browser/test_pages.py::test_the_theme_that_was_chosen_stays",
    "browser/test_pages.py::test_a_stopped_feed_is_seen_without_colour_too",
    "browser/test_pages.py::test_a_guest_sees_what_the_key_is_for",
    "browser/test_pages.py::test_the_report_of_a_comparison_can_be_read_by_everybody[dark]",
    *(f"docs/test_pages.py::test_the_blocks_of_a_page_run[docs/how-to/{page}.md]" for page in _PAGES),
    *(
        f"{_KNOWABLE}[{kind}-{cut}]"
        for kind in ("at_once", "delayed", "created_or_event", "versions_delayed", "versions_deleted")
        for cut in ("at known_before", "at t - serving_lag")
    ),
    "crash/test_push_kill.py::test_no_acknowledged_row_is_lost_when_writers_and_a_compaction_are_killed",
    "crash/test_materialize_kill.py::test_killed_at_any_moment",
    "crash/test_materialize_kill.py::test_killed_at_every_named_moment_the_old_generation_stands_and_the_next_run_goes_on[copy]",
    "crash/test_materialize_kill.py::test_killed_while_the_store_is_put_in_order_it_stands_as_it_was_or_as_asked[copy",
    "crash/test_materialize_kill.py::test_killed_while_the_store_is_put_in_order_it_stands_as_it_was_or_as_asked[in place",
    "crash/test_push_kill.py::test_pushes_and_runs_that_are_killed_lose_and_double_nothing_online",
    "contract/test_sources.py::TestParquetOnS3",
    "contract/test_source_tables.py::TestIcebergSource",
    "functional/test_prove.py::test_a_project_is_proven_and_left_as_it_was",
    "crash/test_partitioned_kill.py::test_killed_at_any_moment_it_goes_on_with_what_is_finished[4]",
    "property/test_pushed_online.py::test_any_order_of_files_pushes_compactions_and_runs_ends_as_the_oracle_says[delayed]",
    *(f"{_PLANTED}[judged-{cells}" for cells in ("x=777.0", "x=4.5", "x=1.25", "x=5.5", "x=9.5", "rounding")),
    *(f"mutants/test_leaks.py::test_a_leak_is_found[{leak}]" for leak in ("windows_by_known", "timeline_by_event")),
    "mutants/test_leaks.py::test_nothing_moves_as_the_code_is[at_once]",
    "mutants/test_mutants.py::test_backfills_are_as_their_stories_say[backfilled-a_late_correction",
    "mutants/test_mutants.py::test_backfills_are_as_their_stories_say[backfilled-a_late_row",
    "functional/test_server_operation.py::test_sigterm_drains_nothing_under_way_is_dropped[2]",
    "functional/test_window_plans.py::test_aligned_tiles_give_the_bits_of_the_pair_join[at once-far hops]",
    "functional/test_window_plans.py::test_tiles_and_frames_give_the_bits_of_the_pair_join[delayed-Zipf]",
    "crash/test_build_kill.py::test_killed_at_any_moment",
    "crash/test_rebuild_kill.py::test_a_rebuild_killed_at_any_moment",
    "functional/test_window_plans.py::test_tiles_and_frames_give_the_bits_of_the_pair_join[at once-one busy key]",
    "functional/test_window_plans.py::test_tiles_and_frames_give_the_bits_of_the_pair_join[delayed-one busy key]",
    "functional/test_window_plans.py::test_aligned_tiles_give_the_bits_of_the_pair_join[delayed-far hops]",
    "functional/test_prove.py::test_times_may_be_written_in_any_form[versions]",
    "functional/test_prove.py::test_each_way_of_looking_up_is_probed_apart",
    "functional/test_server_schemathesis.py::test_cases_for_a_service_that_exists_pass_too",
    "functional/test_server_connections.py::test_300_half_open",
    "functional/test_object_stores.py::test_who_touches_the_data_reads_objects_too",
    "functional/test_push_online.py::test_rows_kept_for_pushes_are_made_anew_once_most_are_out_of_reach",
    "functional/test_push_online.py::test_many_short_pushes",
    "functional/test_push_online.py::test_verify_finds_no_difference_after_pushes[redis]",
    "functional/test_push_online.py::test_over_http_a_pushed_row_is_in_the_next_answer[2]",
    "functional/test_postgres.py::test_a_password_is_in_nothing",
    "functional/test_server_operation.py::test_a_second_sigterm",
    "functional/test_server_operation.py::test_several_workers_are_added_up",
    "functional/test_redis.py::test_a_slow_redis",
    "functional/test_partitions.py::test_tables_in_memory_and_views_of_one_key",
    "spark/test_materialize.py::test_a_run_from_nothing_and_a_step_from_it",
    "spark/test_core.py::test_keys_that_hold_most_of_the_data",
    "spark/test_windows.py::test_a_plan_gives_the_values_of_the_oracle[created-sweep-aggregates2-True]",
    "spark/test_build.py::test_a_table_in_memory_and_one_in_csv",
    "spark/test_build.py::test_a_folder_is_read_like_the_file",
    "spark/test_generated.py::test_spark_agrees_with_the_oracle[created]",
    "spark/test_generated.py::test_spark_agrees_with_the_oracle[at_once]",
    "spark/test_generated.py::test_spark_agrees_with_the_oracle[delayed]",
    "spark/test_generated.py::test_spark_agrees_with_the_oracle[created_or_event]",
)

"""Why a row is no fact (or, with row_key, no version), in any dialect. Each row counts once, under the first that applies."""

REASONS = (
    "event_time_null", "event_time_out_of_range", "known_time_null", "known_time_out_of_range", "key_null", "row_key_null",
)  # fmt: skip
QUARANTINED = "quarantined: "
"""How a reason begins that an expectation gives; it comes before all others."""

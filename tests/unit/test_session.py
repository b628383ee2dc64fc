"""What a session hands to the engine."""

from __future__ import annotations

from featurestore.engines.duckdb import Session, Settings


def test_a_statement_gets_the_parameters_it_names_in_64_bits() -> None:
    sql = """
        -- each one's $other
        SELECT $small * 4 AS product, $share AS share, 'it''s $other' AS "$other" -- '$other'
        """
    given = {"small": 2**30, "share": 0.5, "other": 1}
    with Session(Settings(threads=1)) as session:
        assert session.table(sql, given).to_pylist() == [{"product": 2**32, "share": 0.5, "$other": "it's $other"}]

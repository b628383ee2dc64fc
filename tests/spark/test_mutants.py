"""Mistakes planted into what is written for Spark: each is found by a case of the contract."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest

from featurestore.compiler.spark import scalars
from featurestore.engines.spark import SparkSettings
from featurestore.errors import DataError
from scripts.mutants import ROOT, Mutant
from tests.mutants.planted import planted
from tests.spark.engines import by_spark
from tests.spec.loader import read_cases, run_case

_ROWS = "featurestore/compiler/rows.py"
_LATEST, _FACTS, _SCALARS, _PATTERNS = (
    f"featurestore/compiler/spark/{name}.py" for name in ("latest", "facts", "scalars", "patterns")
)
MUTANTS = (
    Mutant("timeline_sees_t", _LATEST, 'return "2 * asked_at", "2 * greatest(event_time, known_time) + 1"',
           'return "2 * asked_at + 1", "2 * greatest(event_time, known_time)"',
           "a fact comes before the row of the same instant", "latest-pitfall_04_what_happens"),
    Mutant("known_time_forgotten", _LATEST, 'return "2 * asked_at", "2 * greatest(event_time, known_time) + 1"',
           'return "2 * asked_at", "2 * event_time + 1"', "a row sees what nobody knew yet", "known_time-pitfall_08"),
    Mutant("ttl_is_open", _LATEST, "WHEN asked_at - {event} > {plan.ttl} THEN", "WHEN asked_at - {event} >= {plan.ttl} THEN",
           "a value as old as its ttl has expired", "latest-pitfall_24"),
    Mutant("oldest_of_the_replaced", _LATEST, "max(r.fact) AS newer", "min(r.fact) AS newer",
           "of facts later replaced the oldest wins", "versions-"),
    Mutant("replaced_for_ever", _FACTS, "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
           "ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING", "a version is in force until the next but one", "versions-"),
    Mutant("tombstones_hide_nothing", _ROWS, 'holds.append(f"{quoted(source.deleted)} IS NOT TRUE")', "pass",
           "a deleted fact is there", "versions-"),
    Mutant("no_lag", _FACTS, '"known_time" if settled else "known_time + :known_shift AS known_time"', '"known_time"',
           "a serving lag changes nothing", "known_time-"),
    Mutant("labels_at_as_of", "featurestore/retrieval/spark/asked.py", 'f" + {part.spine.ahead}" if part.spine.ahead else ""',
           '""', "labels look back", "labels-"),
    Mutant("minus_zero_stays", _SCALARS, "nanvl({sql} + CAST(0 AS {kind}),", "nanvl({sql},",
           "a computed minus zero is minus zero", "expressions-a_computed_minus_zero"),
)  # fmt: skip
OF_TABLES = (
    Mutant("sums_regrouped", _SCALARS, "inside = any(node.name == name for node in operand.find_all(exp.Anonymous))",
           "inside = False", "the optimizer takes overflow away", "expressions-an_overflow_on_the_way"),
    Mutant("least_of_all_has_an_opposite", _SCALARS, 'func("try_subtract", _int(0), a)', "exp.Neg(this=paren(a))",
           "the least int64 stops the build", "expressions-whole_numbers_are_exact"),
    Mutant("two_to_63_is_whole", _SCALARS, 'func("nullif", func("rint", node), _double(2.0**63))', 'func("rint", node)',
           "2^63 is the greatest int64", "expressions-casts_between_numbers"),
    Mutant("halves_go_up", _SCALARS, 'func("rint", node)', 'func("round", node)', "a cast rounds halves away from zero",
           "expressions-casts_between_numbers"),
    Mutant("floor_within_int64", _SCALARS,
           'when((small, _cast(func(name, args[0].copy()), "DOUBLE")), otherwise=args[0])',
           '_cast(func(name, args[0]), "DOUBLE")', "a great double is no greater than int64", "expressions-floor_ceil"),
    Mutant("nobody_is_not_nan", _SCALARS, '_equal(args[0], _double(float("nan")))', 'func("isnan", args[0])',
           "of NULL it is known that it is not NaN", "expressions-nan_can_be_asked_for"),
    Mutant("power_of_java", _SCALARS, "        (_equal(a, one), one),\n", "", "1 to the power of NaN is NaN",
           "expressions-roots"),
    Mutant("infinite_text", _SCALARS, '("inf", "-inf"), read)', '(), read)', "a text beyond all doubles is infinite",
           "expressions-casts_of_text"),
    Mutant("upper_of_all_letters", _SCALARS, '"upper": _translated(_LOWER, _UPPER)', '"upper": plain("upper")',
           "letters beyond ASCII change their case", "expressions-case_of_letters"),
    Mutant("length_in_bytes", _SCALARS, '"length": plain("length")', '"length": plain("octet_length")',
           "a letter counts as its bytes", "expressions-text_is_joined"),
    Mutant("week_begins_on_sunday", _SCALARS, '_utc("weekday")', '_utc("dayofweek")', "Sunday comes first",
           "expressions-pitfall_37"),
    Mutant("a_part_is_the_whole", _PATTERNS, r"\A(?:{_written(read, '+' if decided else '')})\z",
           "{_written(read, '+' if decided else '')}", "a pattern is found within a text",
           "expressions-the_whole_text"),
    Mutant("never_negated", _PATTERNS, "[{'^' if negated else ''}", "[{''}", "a class means its opposite",
           "expressions-the_whole_text"),
)  # fmt: skip
"""Mistakes in what rows of tables are made of when the module is imported."""


@contextmanager
def planted_in_tables(mutant: Mutant) -> Iterator[None]:
    text = (ROOT / mutant.file).read_text(encoding="utf-8").replace(mutant.old, mutant.new)
    mutated = ModuleType(mutant.name)
    sys.modules[mutant.name] = mutated  # a dataclass looks there
    exec(compile(text, mutant.file, "exec"), mutated.__dict__)
    with ExitStack() as stack:
        stack.callback(sys.modules.pop, mutant.name)
        if mutant.file == _PATTERNS:
            stack.enter_context(patch.object(scalars, "in_java", mutated.in_java))
        else:
            stack.enter_context(patch.dict(scalars.OPERATIONS, mutated.OPERATIONS))
            stack.enter_context(patch.dict(scalars.CASTS, mutated.CASTS))
        yield


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [*MUTANTS, *OF_TABLES], ids=lambda mutant: mutant.name)
def test_a_mutant_is_killed(mutant: Mutant, spark_settings: SparkSettings, tmp_path: Path) -> None:
    cases = [case for case in read_cases(Path(__file__).parents[1] / "spec") if case.id.startswith(mutant.killer)]
    assert cases
    with planted_in_tables(mutant) if mutant in OF_TABLES else planted(mutant):
        for number, case in enumerate(cases):
            try:
                run_case(case, lambda case, folder: by_spark(case, folder, spark_settings), tmp_path / str(number))
            except (AssertionError, DataError):
                return
    pytest.fail(f"{mutant.name} survives {len(cases)} cases: {mutant.story}")


@pytest.mark.parametrize("mutant", [*MUTANTS, *OF_TABLES], ids=lambda mutant: mutant.name)
def test_a_mutant_changes_one_place_of_the_code_as_it_is(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1

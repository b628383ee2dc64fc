"""Value types: one name per meaning, whatever the encoding; all else refused by name."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from featurestore.dtypes import INTEGERS, DType, decoded, from_arrow, parse_dtype
from featurestore.errors import DefinitionError

FOLDED = [
    *((getattr(pa, name)(), name) for name in INTEGERS),
    (pa.bool_(), "bool"),
    (pa.float16(), "float"),
    (pa.float32(), "float"),
    (pa.float64(), "double"),
    (pa.string(), "string"),
    (pa.large_string(), "string"),
    (pa.string_view(), "string"),
    (pa.dictionary(pa.int8(), pa.large_string()), "string"),
    (pa.run_end_encoded(pa.int32(), pa.int64()), "int64"),
    (pa.binary(), "binary"),
    (pa.large_binary(), "binary"),
    (pa.binary_view(), "binary"),
    (pa.binary(16), "binary"),
    (pa.date32(), "date32"),
    (pa.date64(), "date32"),
    (pa.timestamp("s"), "timestamp[us, UTC]"),
    (pa.timestamp("ns", "Europe/Paris"), "timestamp[us, UTC]"),
    (pa.decimal128(9, 2), "decimal128(9, 2)"),
    (pa.decimal256(38, 0), "decimal128(38, 0)"),
    (pa.list_(pa.float32()), "list<float>"),
    (pa.large_list(pa.list_(pa.large_string())), "list<list<string>>"),
    (pa.list_(pa.int32(), 3), "list<int32>"),
]


@pytest.mark.parametrize("arrow, name", FOLDED, ids=str)
def test_encodings_fold_into_one_type_which_survives_its_name(arrow: pa.DataType, name: str) -> None:
    assert from_arrow(arrow) == DType(name)
    assert parse_dtype(arrow) == parse_dtype(name) == DType(name)
    assert from_arrow(parse_dtype(name).arrow) == DType(name)


@pytest.mark.parametrize(
    "given, name",
    [
        ("float64", "double"),
        ("float32", "float"),
        ("str", "string"),
        ("timestamp", "timestamp[us, UTC]"),
        ("decimal(9,2)", "decimal128(9, 2)"),
        ("list<item: float32>", "list<float>"),
        ("list<list<int64>>", "list<list<int64>>"),
        ("boolean", "bool"),
    ],
)
def test_other_common_names(given: str, name: str) -> None:
    assert parse_dtype(given).name == name


@pytest.mark.parametrize(
    "given",
    [
        "", "text", "INT64", "decimal128(39, 0)", "decimal128(3, 4)", "decimal128(0, 0)", "list<map>", "int64\n",
        "struct<a: int64>", 64, None, ["int64"],
    ],
)  # fmt: skip
def test_names_of_no_type(given: object) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_dtype(given)  # type: ignore[arg-type]
    assert caught.value.code == "FS213"


@pytest.mark.parametrize(
    "arrow",
    [
        pa.struct([("a", pa.int64())]), pa.map_(pa.string(), pa.int64()), pa.null(), pa.time64("us"), pa.duration("s"),
        pa.decimal256(60, 0),
    ],
    ids=str,
)  # fmt: skip
def test_arrow_types_that_are_no_values(arrow: pa.DataType) -> None:
    with pytest.raises(DefinitionError) as caught:
        from_arrow(arrow)
    assert caught.value.code == "FS213"


@pytest.mark.parametrize(
    "name, family",
    [
        ("int8", "integer"),
        ("uint64", "integer"),
        ("decimal128(20, 0)", "integer"),
        ("decimal128(20, 1)", None),
        ("string", "text"),
        ("bool", "bool"),
        ("date32", "date"),
        ("binary", "binary"),
        ("double", None),
        ("float", None),
        ("timestamp[us, UTC]", None),
        ("list<int64>", None),
    ],
)
def test_the_family_in_which_keys_compare(name: str, family: str | None) -> None:
    assert parse_dtype(name).key_family == family


def test_what_a_type_says_of_itself() -> None:
    assert parse_dtype("decimal(9, 2)").precision_scale == (9, 2)
    assert parse_dtype("list<list<float>>").item == DType("list<float>")
    assert [t for t in ("int8", "float", "decimal128(9, 2)", "bool", "string") if DType(t).is_numeric] == [
        "int8", "float", "decimal128(9, 2)",
    ]  # fmt: skip


WORDS = pa.array(["a", None, "b", "a"])


@pytest.mark.parametrize(
    "encoded",
    [
        WORDS,
        WORDS.cast(pa.string_view()),
        WORDS.dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([0, None, 1, 0]), pa.array(["a", "b"], pa.string_view())),
        pc.run_end_encode(pa.array([*"xa", None, *"ba"])).slice(1),
        pa.chunked_array([WORDS.slice(0, 1).dictionary_encode(), WORDS.slice(1).dictionary_encode()]),
        pa.chunked_array([WORDS]).slice(4, 0),
    ],
    ids=["plain", "view", "dictionary", "dictionary of views", "runs", "chunks of dictionaries", "nothing"],
)
def test_values_are_the_same_whatever_their_encoding(encoded: pa.Array):
    found = decoded(encoded)
    assert found.to_pylist() == encoded.to_pylist()
    assert found.type in (pa.string(), pa.large_string())
    assert found.take(pa.arange(0, len(found))).equals(found)

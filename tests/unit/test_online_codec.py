"""Keys and records survive the way to bytes and back, and the vectorised road gives the same bytes as the plain one."""

import math
import string
import struct
from datetime import date, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.dtypes import DType
from featurestore.errors import StoreFormat
from featurestore.online.codec import (
    GLOBAL_KEY,
    RecordCodec,
    decode_key,
    encode_key,
    encode_keys,
    lookup_keys,
    storage_key,
    storage_keys,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
INT128 = st.integers(-(2**127), 2**127 - 1) | INT64 | st.integers(-300, 300)
TEXT = st.text(st.sampled_from("\0\1aÿ\U0001f600" + string.ascii_letters), max_size=8)
VALUES = {
    "integer": INT128,
    "text": TEXT,
    "bool": st.booleans(),
    "date": st.dates(),
    "binary": st.binary(max_size=8) | st.text("\0\xff", max_size=5).map(lambda text: text.encode("latin-1")),
}
FAMILIES = st.lists(st.sampled_from(sorted(VALUES)), max_size=4)


def values_of(families):
    return st.tuples(*(VALUES[family] for family in families))


def utf8(value):
    """Text is ordered by its bytes."""
    return tuple(part.encode() if isinstance(part, str) else part for part in value)


# --- keys -------------------------------------------------------------------------------------------------------------


@given(st.data(), FAMILIES)
def test_a_key_decodes_to_the_values_it_was_made_of(data, families):
    values = data.draw(values_of(families))
    assert decode_key(encode_key(values, families), families) == values


@given(st.data(), FAMILIES)
def test_keys_are_ordered_as_their_values_are(data, families):
    one, other = data.draw(values_of(families)), data.draw(values_of(families))
    first, second = encode_key(one, families), encode_key(other, families)
    assert (first < second) == (utf8(one) < utf8(other))
    assert (first == second) == (one == other)


@pytest.mark.parametrize(
    "one, other",
    [(("1", "11"), ("11", "1")), (("a\0", "b"), ("a", "\0b")), (("", "a"), ("a", "")), (("\0", ""), ("", "\0"))],
)
def test_composite_keys_are_never_joined_text(one, other):
    assert encode_key(one, ["text", "text"]) != encode_key(other, ["text", "text"])


def test_an_integer_has_one_encoding_whatever_its_type_was():
    arrays = [
        pa.array([7], type_)
        for type_ in (
            pa.int8(),
            pa.uint8(),
            pa.int32(),
            pa.int64(),
            pa.uint64(),
            pa.decimal128(38, 0),
            pa.decimal128(5, 0),
        )
    ]
    expected = encode_key((7,), ["integer"])
    assert [encode_keys([array], ["integer"]).to_pylist() for array in arrays] == [[expected]] * len(arrays)
    assert encode_key((Decimal("7.00"),), ["integer"]) == expected


@pytest.mark.parametrize(
    "value, family",
    [
        (True, "integer"), ("7", "integer"), (7.0, "integer"), (Decimal("7.5"), "integer"), (Decimal("NaN"), "integer"),
        (2**127, "integer"), (-(2**127) - 1, "integer"), (None, "integer"), (7, "text"), (b"7", "text"), (None, "text"),
        (1, "bool"), ("2026-01-01", "date"), (2**31, "date"), (True, "date"), ("a", "binary"),
    ],
)  # fmt: skip
def test_a_value_of_another_family_is_no_key(value, family):
    with pytest.raises(ValueError, match=r"is not|does not fit"):
        encode_key((value,), [family])


ARROW_KEYS = [
    ("integer", pa.int64(), INT64),
    ("integer", pa.int8(), st.integers(-128, 127)),
    ("integer", pa.uint64(), st.integers(0, 2**64 - 1)),
    ("integer", pa.decimal128(38, 0), st.integers(-(10**38) + 1, 10**38 - 1).map(Decimal)),
    ("text", pa.string(), TEXT),
    ("text", pa.large_string(), TEXT),
    ("text", pa.string_view(), TEXT),
    ("text", pa.dictionary(pa.int32(), pa.string()), TEXT),
    ("bool", pa.bool_(), st.booleans()),
    ("date", pa.date32(), st.dates()),
    ("binary", pa.binary(), VALUES["binary"]),
    ("binary", pa.large_binary(), VALUES["binary"]),
    ("binary", pa.binary(3), st.binary(min_size=3, max_size=3)),
]


@given(st.data(), st.lists(st.sampled_from(ARROW_KEYS), min_size=1, max_size=3), st.integers(0, 12))
def test_a_column_of_keys_is_byte_for_byte_the_keys_of_its_rows(data, kinds, rows):
    families = [family for family, _, _ in kinds]
    columns, arrays = [], []
    for _, type_, strategy in kinds:
        values = data.draw(st.lists(st.none() | strategy, min_size=rows, max_size=rows))
        arrays.append(as_arrow(data, values, type_))
        columns.append(values)
    expected = [None if None in row else encode_key(row, families) for row in zip(*columns, strict=True)]
    keys = encode_keys(arrays, families)
    assert keys.type == pa.binary()
    assert keys.to_pylist() == expected
    assert storage_keys(keys).to_pylist() == [None if key is None else storage_key(key) for key in expected]


def as_arrow(data, values, type_):
    """The values as an array, a slice of a longer one, or chunks: all the same to the reader."""
    shape = data.draw(st.sampled_from(["plain", "slice", "chunks"]))
    if shape == "slice":
        return pa.array([*values[:3], *values, *values[:2]], type_)[len(values[:3]) :][: len(values)]
    array = pa.array(values, type_)
    return pa.chunked_array([array[:2], array[2:]]) if shape == "chunks" else array


def test_the_global_entity_has_one_constant_key():
    assert encode_key((), []) == GLOBAL_KEY
    assert decode_key(GLOBAL_KEY, []) == ()
    assert encode_keys([], [], rows=3).to_pylist() == [GLOBAL_KEY] * 3
    assert storage_key(GLOBAL_KEY) != b""


def test_long_keys_are_stored_by_digest_and_never_meet_short_ones():
    keys = [b"", b"\1", b"k" * 400, b"k" * 401, b"k" * 402, b"\1" + b"k" * 32]
    stored = [storage_key(key) for key in keys]
    assert len(set(stored)) == len(keys)
    assert list(map(len, stored)) == [1, 2, 401, 33, 33, 34]
    assert storage_keys(pa.array([*keys, None], pa.binary())).to_pylist() == [*stored, None]


# --- records ----------------------------------------------------------------------------------------------------------


def integers(bits, signed=True):
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)


def decimals(precision, scale):
    bound = 10**precision - 1
    return st.integers(-bound, bound).map(lambda unscaled: Decimal((unscaled < 0, tuple(map(int, str(abs(unscaled)))), -scale)))


SCALARS = {
    "bool": st.booleans(),
    "int8": integers(8), "int16": integers(16), "int32": integers(32), "int64": integers(64),
    "uint8": integers(8, False), "uint16": integers(16, False),
    "uint32": integers(32, False), "uint64": integers(64, False),
    "float": st.floats(width=32), "double": st.floats(),
    "string": TEXT, "binary": st.binary(max_size=8),
    "date32": integers(32), "timestamp[us, UTC]": integers(64),
    "decimal128(38, 0)": decimals(38, 0), "decimal128(38, 38)": decimals(38, 38), "decimal128(7, 2)": decimals(7, 2),
}  # fmt: skip
LISTS = {f"list<{name}>": st.lists(values, max_size=4) for name, values in SCALARS.items()}
LOOSE = {f"list<{name}>": st.lists(st.none() | values, max_size=4) for name, values in SCALARS.items()}
NESTED = {"list<list<double>>": st.lists(st.none() | LOOSE["list<double>"], max_size=3)}
COLUMNS = [*SCALARS.items(), *LISTS.items(), *LOOSE.items(), *NESTED.items()]


def arrow(values, dtype, data):
    """Times and dates are drawn as the numbers they are kept as."""
    plain = {"date32": pa.int32(), "timestamp[us, UTC]": pa.int64()}
    name = dtype.item.name if dtype.is_list else dtype.name
    if name not in plain:
        return as_arrow(data, values, dtype.arrow)
    return pa.array(values, pa.list_(plain[name]) if dtype.is_list else plain[name]).cast(dtype.arrow)


def bits(value):
    """Comparable to the last bit: every NaN is itself, -0.0 is not 0.0."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    return [bits(item) for item in value] if isinstance(value, (list, tuple)) else (type(value), value)


@given(st.data(), st.lists(st.sampled_from(COLUMNS), max_size=10), st.lists(st.integers(0, 3), max_size=4))
def test_records_come_back_as_they_went_in(data, columns, groups):
    dtypes = [DType(name) for name, _ in columns]
    rows = sum(groups)
    flags = data.draw(st.lists(integers(8, False), min_size=rows, max_size=rows))
    times = data.draw(st.lists(INT64, min_size=rows, max_size=rows))
    until = data.draw(st.lists(INT64, min_size=len(groups), max_size=len(groups)))
    values = [data.draw(st.lists(st.none() | kind, min_size=rows, max_size=rows)) for _, kind in columns]
    offsets = [sum(groups[:end]) for end in range(len(groups) + 1)]

    codec = RecordCodec(dtypes)
    arrays = [arrow(column, dtype, data) for column, dtype in zip(values, dtypes, strict=True)]
    entries = codec.encode_entries(pa.array(flags, pa.uint8()), pa.array(times, pa.int64()), arrays)
    records = codec.encode_records(pa.array(until, pa.int64()), pa.array(offsets, pa.int64()), entries)

    assert (entries.type, len(entries), entries.null_count) == (pa.binary(), rows, 0)
    facts = list(zip(flags, times, zip(*values, strict=True) if columns else [()] * rows, strict=True))
    expected = [(until[i], facts[offsets[i] : offsets[i + 1]]) for i in range(len(groups))]
    assert bits([tuple(codec.decode(record)) for record in records.to_pylist()]) == bits(expected)


def one_record(codec, *values):
    arrays = [pa.array([value], dtype.arrow) for value, dtype in zip(values, codec.columns, strict=True)]
    entries = codec.encode_entries(pa.array([3], pa.uint8()), pa.array([1_000], pa.int64()), arrays)
    return codec.encode_records(pa.array([2_000], pa.int64()), pa.array([0, 1], pa.int32()), entries)[0].as_py()


def test_the_layout_is_pinned():
    codec = RecordCodec([DType("int64"), DType("string"), DType("bool"), DType("double")])
    expected = (
        "01" "d007000000000000"  # format, exact until 2000
        "03" "e803000000000000" "08"  # flags, event time 1000, the fourth column is null
        "0700000000000000" "02000000" "01" "0000000000000000" "c3a9"  # 7, two bytes of text, true, null, "é"
    )  # fmt: skip
    assert one_record(codec, 7, "é", True, None).hex() == expected


def test_every_bit_of_a_double_survives():
    codec = RecordCodec([DType("double"), DType("list<double>")])
    for raw in ("000000000000f87f", "010000000000f8ff", "0000000000000080", "000000000000f07f", "0100000000000000"):
        value = struct.unpack("<d", bytes.fromhex(raw))[0]
        _, _, (single, listed) = codec.decode(one_record(codec, value, [value])).entries[0]
        assert [struct.pack("<d", single).hex(), struct.pack("<d", listed[0]).hex()] == [raw, raw]


def test_other_physical_types_of_one_meaning_are_the_same_bytes():
    codec = RecordCodec([DType("string"), DType("timestamp[us, UTC]"), DType("list<float>")])
    flags, times = pa.array([1], pa.uint8()), pa.array([5], pa.timestamp("us", "UTC"))
    plain = [pa.array(["a"]), pa.array([5_000], pa.timestamp("us", "UTC")), pa.array([[1.5]], pa.list_(pa.float32()))]
    other = [
        pa.array(["a"], pa.large_string()).dictionary_encode(),
        pa.array([5], pa.timestamp("ms", "Europe/Paris")),
        pa.array([[1.5]], pa.list_(pa.float64(), 1)),
    ]
    assert codec.encode_entries(flags, times, other) == codec.encode_entries(flags, times.cast(pa.int64()), plain)


def test_entries_may_be_a_slice_of_many():
    codec = RecordCodec([DType("string")])
    flags, times = pa.array([1] * 6, pa.uint8()), pa.array(range(6), pa.int64())
    entries = codec.encode_entries(flags, times, [pa.array(list("abcdef"))])
    records = codec.encode_records(pa.array([9, 9], pa.int64()), pa.array([0, 1, 3], pa.int32()), entries[2:5])
    assert [codec.decode(r).entries for r in records.to_pylist()] == [
        [(1, 2, ("c",))],
        [(1, 3, ("d",)), (1, 4, ("e",))],
    ]


@pytest.mark.parametrize(
    "damage", [lambda r: b"\2" + r[1:], lambda r: b"", lambda r: r[:-1], lambda r: r + b"\0", lambda r: r[:5]]
)
def test_a_record_of_another_format_or_length_is_refused(damage):
    codec = RecordCodec([DType("int64"), DType("string")])
    record = one_record(codec, 7, "text")
    with pytest.raises(StoreFormat, match="FS404"):
        codec.decode(damage(record))


@pytest.mark.parametrize(
    "family, values",
    [
        ("integer", [0, -1, 7, 2**63 - 1, -(2**63)]),
        ("integer", [1, None, Decimal(3)]),
        ("integer", [1, 2**63, -(2**63) - 1, 2**127]),
        ("integer", [1, True]),
        ("text", ["", "a\0b", "x" * 500, None, 7]),
        ("date", [date(2026, 1, 31), 20_000, None]),
        ("integer", []),
    ],
)
def test_keys_of_one_column_are_what_they_are_one_by_one(family, values):
    def one(value):
        try:
            return None if value is None else storage_key(encode_key([value], [family]))
        except ValueError:
            return None

    assert lookup_keys(values, family) == [one(value) for value in values]


def test_dates_beyond_the_calendar_stay_days():
    key = encode_key((5_000_000,), ["date"])
    assert decode_key(key, ["date"]) == (5_000_000,)
    assert decode_key(encode_key((date(2026, 1, 31),), ["date"]), ["date"]) == (date(1970, 1, 1) + timedelta(20_484),)

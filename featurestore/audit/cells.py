"""When two columns of training sets hold the same cells: bit for bit, whole arrays at a time.

Any NaN is NaN, 0.0 is not -0.0. Encodings (dictionaries, views, large offsets) are no difference; another type is one of
the column, and its cells are compared in a type both can be read in, if there is one.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.dtypes import decoded


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type without its encoding: what two columns of one type have in common."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary(kind) or pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_map(kind):
        entry = pa.struct([("key", plain_type(kind.key_type)), ("value", plain_type(kind.item_type))])
        return pa.large_list(pa.field("item", entry))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.large_list(pa.field("item", plain_type(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([(f.name, plain_type(f.type)) for f in kind])
    return kind


def plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column as one array of its plain type."""
    array = decoded(column)
    if pa.types.is_map(array.type):
        kind = array.type
        array = array.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))
    target = plain_type(array.type)
    return array if array.type == target else array.cast(target)


def alike(a: pa.Array, b: pa.Array) -> tuple[pa.Array, pa.Array] | None:
    """Two plain arrays in one type, read without loss: text as what the other is, numbers as the wider; None if they cannot
    be."""
    if a.type == b.type:
        return a, b
    for one, other in ((a, b), (b, a)):
        try:
            read = one.cast(other.type)
            if _is_number(one.type) and not read.cast(one.type).equals(one):
                continue
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
        return (read, b) if one is a else (a, read)
    return None


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def differing(a: pa.Array, b: pa.Array) -> pa.Array:
    """Whether each cell differs; two arrays of one length. Cells that no common type holds differ unless both are NULL."""
    pair = alike(a, b)
    if pair is None:
        return pc.or_(a.is_valid(), b.is_valid())
    return _differ(*pair)


def _differ(a: pa.Array, b: pa.Array) -> pa.Array:
    one_is_null = pc.xor(a.is_valid(), b.is_valid())
    both = pc.and_(a.is_valid(), b.is_valid())
    return pc.or_(one_is_null, pc.and_(both, pc.fill_null(_values_differ(a, b, both), False)))


def _values_differ(a: pa.Array, b: pa.Array, both: pa.Array) -> pa.Array:
    kind = a.type
    if pa.types.is_null(kind):
        return pa.repeat(pa.scalar(False), len(a))
    if pa.types.is_floating(kind):
        return _floats_differ(a, b)
    if pa.types.is_large_list(kind):
        return _lists_differ(a, b, both)
    if pa.types.is_struct(kind):
        found = pa.repeat(pa.scalar(False), len(a))
        for one, other in zip(a.flatten(), b.flatten(), strict=True):
            found = pc.or_(found, _differ(one, other))
        return found
    return pc.not_equal(a, b)


def _floats_differ(a: pa.Array, b: pa.Array) -> pa.Array:
    bits = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[a.type.bit_width]
    wide = [x.cast(pa.float64()) for x in (a, b)]
    both_nan = pc.and_(*map(pc.is_nan, wide))
    return pc.and_not(pc.not_equal(a.view(bits), b.view(bits)), both_nan)


def _lists_differ(a: pa.Array, b: pa.Array, both: pa.Array) -> pa.Array:
    """Lists of another length differ; of those of one length the items are laid end to end and compared."""
    other_length = pc.fill_null(pc.not_equal(pc.list_value_length(a), pc.list_value_length(b)), False)
    paired = pc.and_not(both, other_length)
    rows = pc.indices_nonzero(paired).cast(pa.int64())
    one, other = a.take(rows), b.take(rows)
    items = _differ(one.flatten(), other.flatten())
    parents = pc.list_parent_indices(one).filter(items)
    found = pc.is_in(pa.arange(0, len(a)), value_set=rows.take(parents.unique()))
    return pc.or_(other_length, found)


__all__ = ["alike", "differing", "plain", "plain_type"]

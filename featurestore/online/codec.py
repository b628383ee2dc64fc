"""How typed keys and records become bytes: the one place to import it from. `keys` and `records` hold the layouts."""

from featurestore.online.keys import (
    GLOBAL_KEY,
    SHORT,
    LongKey,
    decode_key,
    encode_key,
    encode_keys,
    is_digest,
    lookup_keys,
    parted,
    record_of,
    storage_key,
    storage_keys,
    with_key,
)
from featurestore.online.records import CANDIDATE, IN_REACH, RECORD_FORMAT, Entry, Record, RecordCodec, plain_values

__all__ = [
    "GLOBAL_KEY",
    "encode_key",
    "decode_key",
    "encode_keys",
    "lookup_keys",
    "storage_key",
    "storage_keys",
    "SHORT",
    "LongKey",
    "is_digest",
    "parted",
    "record_of",
    "with_key",
    "RECORD_FORMAT",
    "CANDIDATE",
    "IN_REACH",
    "Entry",
    "Record",
    "RecordCodec",
    "plain_values",
]

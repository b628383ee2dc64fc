"""The serve log: what a server answered, kept as Parquet for those who look for drift and skew.

`layout` says what files and columns are called, `writer` writes them behind the server's back, `reading` reads them,
`retention` deletes them, `redaction` and `secret` decide what of an answer may be written.
"""

from featurestore.serve_log.layout import FEATURES, column_of, features, keys, request_columns, status_of
from featurestore.serve_log.reading import batches, files, read, services
from featurestore.serve_log.retention import drop_before, size

__all__ = [
    "FEATURES", "batches", "column_of", "drop_before", "features", "files", "keys", "read", "request_columns", "services",
    "size", "status_of",
]  # fmt: skip

"""What a source can be, as Arrow data: Parquet files, tables from memory, and a log of the rows pushed to it."""

from featurestore.sources.data import Part, PushedPart, SourceData, UpTo, open_source, pushed_in, reopen_source, up_to
from featurestore.sources.files import FileStamp, IdentityCache

__all__ = [
    "FileStamp",
    "IdentityCache",
    "Part",
    "PushedPart",
    "SourceData",
    "UpTo",
    "open_source",
    "pushed_in",
    "reopen_source",
    "up_to",
]

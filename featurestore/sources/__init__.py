"""What a source can be, as Arrow data: Parquet files, tables from memory, and a log of the rows pushed to it."""

from featurestore.sources.data import SourceData, UpTo, open_source, pushed_in, reopen_source, up_to
from featurestore.sources.files import File, FileStamp, IdentityCache
from featurestore.sources.parts import FilePart, Part, PushedPart, ScannedPart, TablePart
from featurestore.sources.reading import reading

__all__ = [
    "File",
    "FilePart",
    "FileStamp",
    "IdentityCache",
    "Part",
    "PushedPart",
    "ScannedPart",
    "SourceData",
    "TablePart",
    "UpTo",
    "open_source",
    "pushed_in",
    "reading",
    "reopen_source",
    "up_to",
]

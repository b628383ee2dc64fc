"""What a source can be, as Arrow data: Parquet files and tables from memory."""

from featurestore.sources.data import Part, SourceData, open_source, reopen_source
from featurestore.sources.files import FileStamp, IdentityCache

__all__ = ["FileStamp", "IdentityCache", "Part", "SourceData", "open_source", "reopen_source"]

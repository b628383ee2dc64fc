"""What goes wrong with an LMDB store, in our words. Whatever a write met, it has changed nothing."""

from __future__ import annotations

import errno
from pathlib import Path

import lmdb

from featurestore.errors import StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # EIO: what LMDB calls a write that came up short
_DAMAGED = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError, lmdb.VersionMismatchError)


def absent(folder: Path) -> StoreError:
    return StoreError("FS402", "there is no online store yet", where=str(folder), hint="featurestore materialize")


def translate(error: lmdb.Error, folder: Path) -> StoreError:
    """The StoreError an LMDB error means."""
    where = str(folder)
    code = getattr(error, "code", 0)
    if isinstance(error, lmdb.DiskError) or code in _FULL:
        return StoreError("FS405", "the disk is full or failing; the online store is as it was before", where=where)
    if isinstance(error, _DAMAGED):
        return damaged(folder / "data.mdb", f"cannot be read: {error}")
    if isinstance(error, lmdb.ReadersFullError):
        return StoreError("FS406", "too many readers have the online store open at once", where=where)
    return StoreError("FS407", f"the online store failed: {error}", where=where)


def damaged(path: Path, what: str) -> StoreError:
    return StoreError(
        "FS403", f"the online store's file {what}", where=str(path), hint="remove it and run featurestore materialize"
    )


def unreadable(path: Path, error: OSError) -> StoreError:
    return StoreError("FS407", f"the online store cannot be opened: {error.strerror}", where=str(path))

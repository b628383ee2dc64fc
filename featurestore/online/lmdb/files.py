"""The store's folder as the file system shows it: is there a file, is it still the same one, are new names durable."""

from __future__ import annotations

import os
from pathlib import Path

from featurestore.online.lmdb.errors import unreadable


def exists(folder: Path) -> bool:
    """Whether a store was ever begun in the folder."""
    try:
        return (folder / "data.mdb").stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise unreadable(folder, error) from error


def file_identity(folder: Path) -> tuple[int, int] | None:
    """Which file data.mdb is at present, whatever its name; None when there is none."""
    try:
        found = (folder / "data.mdb").stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable; fsync of a file alone does not."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Files are there whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from featurestore import atomic
from featurestore.errors import StoreError


def test_text_takes_its_name_whole_and_makes_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    atomic.write_text(path, "größe")
    atomic.write_text(path, "größer")
    assert path.read_text(encoding="utf-8") == "größer"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_what_fails_leaves_the_old_text_and_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    atomic.write_text(path, "old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.EACCES, "no")))
    with pytest.raises(StoreError):
        atomic.write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_it_reaches_the_disk_before_it_takes_the_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = atomic.sync, os.replace
    monkeypatch.setattr(atomic, "sync", lambda path: (done.append(f"sync {path.name}"), sync(path)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("rename"), replace(a, b)))
    atomic.write_text(tmp_path / "f", "x")
    assert done == [f"sync .f.{atomic.me()}.partial", "rename", f"sync {tmp_path.name}"]


@pytest.mark.parametrize(
    "number, code",
    [(errno.ENOSPC, "FS405"), (errno.EDQUOT, "FS405"), (errno.EFBIG, "FS405"), (errno.EACCES, "FS407"), (errno.EROFS, "FS407")],
)
def test_errors_of_the_disk_are_said_in_our_words(number: int, code: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught, atomic.disk_errors(tmp_path / "f"):
        raise OSError(number, os.strerror(number))
    assert (caught.value.code, caught.value.where, caught.value.exit_code) == (code, "f", 5)


def test_only_the_dead_writers_files_of_this_name_are_swept(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = [
        f".a.txt.{ended.pid}-{atomic.me().partition('-')[2]}.partial", f".a.txt.{ended.pid}.partial",  # those to go
        f".a.txt.{os.getpid()}.partial", ".a.txt.1.partial", ".a.txt.x.partial", f".a.txt.{ended.pid}.partial.bak",
        f".b.txt.{ended.pid}.partial", f"a.txt.{ended.pid}.partial", "a.txt",
    ]  # fmt: skip
    for name in names:
        (tmp_path / name).touch()
    assert [p.name for p in atomic.leftovers(tmp_path / "a.txt")] == names[:2]
    atomic.sweep(tmp_path / "a.txt")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names[2:])


def test_sweeping_a_folder_that_is_not_there(tmp_path: Path) -> None:
    atomic.sweep(tmp_path / "nosuch" / "file")


def test_what_another_machine_writes_is_left_alone_for_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = atomic.aside(tmp_path / "a.txt")
    monkeypatch.setattr(atomic, "_here", lambda: "0ther000")
    theirs = atomic.aside(tmp_path / "a.txt")
    assert theirs != ours, "each may be process 1 where it is"
    monkeypatch.undo()
    theirs = theirs.with_name(theirs.name.replace("0ther000", "00000000"))
    theirs.touch()
    assert atomic.leftovers(tmp_path / "a.txt") == []
    os.utime(theirs, (0, 0))
    assert atomic.leftovers(tmp_path / "a.txt") == [theirs]

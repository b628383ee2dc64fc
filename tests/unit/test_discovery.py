"""Loading registry/: a private package made of the user's files, whole or an error that names their line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from featurestore import discovery
from featurestore.errors import DefinitionError

USE = "from featurestore import Entity, FeatureService, FeatureView, ParquetSource, latest\n"


def write(folder: Path, files: dict[str, str]) -> Path:
    """Files by path below the folder, without ".py"."""
    for name, text in files.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def entity(name: str, bound_to: str = "x") -> str:
    return f"{USE}{bound_to} = Entity(name={name!r})\n"


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # as at a user's
    before, path, hooks = set(sys.modules), list(sys.path), list(sys.meta_path)
    yield
    assert [name for name in set(sys.modules) - before if name.startswith("_featurestore")] == []
    assert (sys.path, sys.meta_path, sys.dont_write_bytecode) == (path, hooks, False)


def failure(folder: Path) -> DefinitionError:
    with pytest.raises(DefinitionError) as caught:
        discovery.load(folder)
    return caught.value


FOLDERS = {
    "one file": {"views": entity("a")},
    "an import from a sibling": {"views": entity("a"), "more": "from .views import x\n" + entity("b", "y")},
    "a sibling's sibling, whatever the order": {"a": "from .b import y\n", "b": "from .c import x as y\n", "c": entity("a")},
    "a sub-folder without __init__": {"sub/views": entity("a"), "top": "from .sub.views import x\n"},
    "a sub-folder with __init__": {"sub/__init__": "from .views import x\n", "sub/views": entity("a")},
    "an import from above": {"sub/views": "from ..base import x\n", "base": entity("a")},
    "a deeper folder": {
        "one/two/three": "from ...base import x\nfrom ..other import y\n", "base": entity("a"), "one/other": entity("b", "y"),
    },
    "an __init__ at the root": {"__init__": "from .views import x\n", "views": entity("a")},
    "an __init__ that others import from": {"__init__": entity("a"), "Abc": "from . import x\n", "views": "from . import x\n"},
    "a file name that is no identifier": {"my-views": entity("a")},
    "a module named like one of ours": {"json": entity("a"), "featurestore": entity("b")},
}  # fmt: skip


@pytest.mark.parametrize("story", FOLDERS)
def test_a_folder_is_a_package(story: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "registry", FOLDERS[story])
    expected = ["a", "b"] if any("'b'" in text for text in FOLDERS[story].values()) else ["a"]
    assert list(discovery.load(folder).entities) == expected


def test_nothing_is_defined_twice_by_an_init_that_imports(tmp_path: Path) -> None:
    count = "import sys\nsys.modules['featurestore'].runs = getattr(sys.modules['featurestore'], 'runs', 0) + 1\n"
    write(tmp_path, {"__init__": "from .views import x\nfrom .sub import y\n", "views": count + entity("a")})
    write(tmp_path, {"sub/__init__": "from .deep import y\nfrom ..views import x\n", "sub/deep": entity("b", "y")})
    import featurestore

    discovery.load(tmp_path)
    assert featurestore.__dict__.pop("runs") == 1


def test_definitions_in_lists_tuples_sets_and_dicts_are_found_with_all_they_reach(tmp_path: Path) -> None:
    text = """
def make(n):
    source = ParquetSource(name=f"s{n}", path="p", event_timestamp="e")
    view = FeatureView(name=f"v{n}", entities=[Entity(name=f"e{n}")], source=source, features=[latest("a", name=f"a{n}")])
    return FeatureService(name=f"f{n}", features=[view.with_prefix("p_")])

every = {"list": [make(1)], "tuple": (make(2), [make(3)]), "deep": {"er": {"x": make(4)}}}
instance = make(5).instances[0]
number, words = 5, "not a definition"
_private = make(6)
"""
    registry = discovery.load(write(tmp_path, {"views": USE + text}))
    assert list(registry.services) == ["f1", "f2", "f3", "f4", "f6"]
    assert list(registry.views) == [f"v{n}" for n in range(1, 7)]
    assert list(registry.sources) == [f"s{n}" for n in range(1, 7)]
    assert list(registry.entities) == [f"e{n}" for n in range(1, 7)]


def test_hidden_folders_and_byte_code_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, {".hidden/x": "1 / 0\n", "views": entity("a")})
    (tmp_path / "notes.txt").write_text("1 / 0")
    assert list(discovery.load(tmp_path).entities) == ["a"]
    assert not list(tmp_path.rglob("__pycache__"))


ERRORS = {
    "an exception": ({"views": "x = 1\ny = 1 / 0\n"}, "ZeroDivisionError: division by zero", "registry/views.py:2"),
    "an exception in an imported file": (
        {"a": "from .b import y\n", "b": "\n\n1 / 0\n"}, "ZeroDivisionError", "registry/b.py:3",
    ),
    "an exception in a library": ({"a": "import json\n\njson.loads('{')\n"}, "JSONDecodeError", "registry/a.py:3"),
    "a syntax error": ({"views": "x = 1\ndef f(:\n"}, "SyntaxError", "registry/views.py:2"),
    "a syntax error in an imported file": ({"a": "from .b import y\n", "b": "\n\nx = (\n"}, "SyntaxError", "registry/b.py:3"),
    "a syntax error in __init__": ({"__init__": "\n\nx = (\n"}, "SyntaxError", "registry/__init__.py:3"),
    "a missing library": ({"a": "\nimport nosuchlibrary\n"}, "No module named 'nosuchlibrary'", "registry/a.py:2"),
    "a missing sibling": ({"a": "from .nosuch import x\n"}, "No module named 'registry.nosuch'", "registry/a.py:1"),
    "a missing name": ({"a": "from .b import x\n", "b": ""}, "cannot import name 'x' from 'registry.b'", "registry/a.py:1"),
    "a way out": ({"a": "import sys\nsys.exit(3)\n"}, "SystemExit: 3", "registry/a.py:2"),
    "a sub-folder's error": ({"sub/a": "x = 1\n1 / 0\n"}, "ZeroDivisionError", "registry/sub/a.py:2"),
}  # fmt: skip


@pytest.mark.parametrize("story", ERRORS)
def test_what_cannot_be_imported_is_named_by_file_and_line(story: str, tmp_path: Path) -> None:
    files, what, where = ERRORS[story]
    error = failure(write(tmp_path / "registry", files))
    assert (error.code, error.exit_code) == ("FS210", 3)
    assert what in error.what
    assert error.where == where
    assert "_featurestore" not in str(error)
    assert str(tmp_path) not in str(error)


def test_a_bad_definition_keeps_its_own_code_and_place(tmp_path: Path) -> None:
    error = failure(write(tmp_path / "registry", {"views": f"{USE}\nx = Entity(\n    name='Bad')\n"}))
    assert error.code == "FS201"
    assert error.where.startswith("registry/views.py:")


def test_two_files_that_define_one_name_are_both_named(tmp_path: Path) -> None:
    error = failure(write(tmp_path / "registry", {"a": entity("x"), "b": entity("x")}))
    assert error.code == "FS209"
    assert error.where == "registry/a.py:2 and registry/b.py:2"


def test_a_missing_folder(tmp_path: Path) -> None:
    assert failure(tmp_path / "registry").code == "FS210"


def test_two_projects_with_equal_modules_never_mix(tmp_path: Path) -> None:
    files = {"views": "from .base import x\n"}
    one = write(tmp_path / "one" / "registry", {"base": entity("one"), **files})
    two = write(tmp_path / "two" / "registry", {"base": entity("two"), **files})
    three = write(tmp_path / "three" / "registry", files)
    assert [list(discovery.load(f).entities) for f in (one, two, one)] == [["one"], ["two"], ["one"]]
    assert "No module named 'registry.base'" in failure(three).what


def test_an_edit_is_seen_even_if_it_keeps_size_and_second(tmp_path: Path) -> None:
    for name in ("one", "two", "six"):
        assert list(discovery.load(write(tmp_path, {"views": "from .base import x\n", "base": entity(name)})).entities) == [
            name
        ]


def test_an_error_is_forgotten_once_mended(tmp_path: Path) -> None:
    failure(write(tmp_path, {"a": "from .b import x\n", "b": "1 / 0\n"}))
    assert list(discovery.load(write(tmp_path, {"b": entity("mended")})).entities) == ["mended"]
    (tmp_path / "b.py").unlink()
    assert "No module named" in failure(tmp_path).what

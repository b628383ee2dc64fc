"""A project of one source of payments, for tests that write its definitions and its rows themselves."""

from __future__ import annotations

from pathlib import Path

from tests.functional.conftest import Cli


class Bank:
    """The folder, with nothing defined and nothing paid yet."""

    def __init__(self, folder: Path, cli: Cli) -> None:
        self.folder, self._cli = folder, cli
        (folder / "featurestore.toml").write_text('[project]\nname = "bank"\n')
        for name in ("registry", "data"):
            (folder / name).mkdir()
        (folder / "registry" / "__init__.py").write_text("")

    def defined_as(self, text: str) -> None:
        (self.folder / "registry" / "bank.py").write_text(text)

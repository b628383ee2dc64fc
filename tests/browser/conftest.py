"""One server and one browser for a module of tests: Debian's Chromium, driven by Playwright, no page of which may reach beyond
the server, or complain.

Not for the session: while Playwright runs, its event loop is that of the thread, and tests elsewhere start their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from featurestore.server import keys
from tests.browser import site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request, Response

PATIENCE = 20_000
"""Milliseconds: the machine may be busy."""


@dataclass
class Visit:
    """A tab. problems: what it complained of, and what it asked of others than the server."""

    page: Page
    address: str
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.problems.append(said.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", self._requested)

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((f"{self.address}/", "data:")):
            self.problems.append(f"asked {request.url}")

    def go(self, path: str) -> Response:
        response = self.page.goto(self.address + path)
        assert response is not None
        return response

    def faults(self) -> list[str]:
        """What axe finds wrong for those who use other senses or no mouse: a line for each element."""
        self.page.evaluate(_axe())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{violation['id']}: {node['html'][:160]} {json.dumps(node['any'][:1])[:300]}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    def text(self, selector: str = "main") -> str:
        """All of it, also what a browser lays out only when it is scrolled to."""
        return " ".join((self.page.text_content(selector) or "").split())


@cache
def _axe() -> str:
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class House:
    """What a module visits. owner, guest: API keys; the guest's is for risk_v1 alone. states: how each is signed in."""

    site: site.Site
    browser: Browser
    owner: str
    guest: str
    states: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def visit(self, who: str = "owner", **options: Any) -> Iterator[Visit]:
        """A tab of somebody who is signed in; of nobody if `who` is "". options: of the browser's context."""
        if who and who not in self.states:
            self.states[who] = self._signed_in(getattr(self, who))
        context = self.browser.new_context(storage_state=self.states[who] if who else None, **options)
        try:
            yield Visit(context.new_page(), self.site.address)
        finally:
            context.close()

    def _signed_in(self, secret: str) -> Any:
        with self.visit("") as tab:
            tab.go("/sign-in")
            tab.page.get_by_label("API key").fill(secret)
            tab.page.get_by_role("button", name="Sign in").click()
            tab.page.wait_for_selector("text=Sign out")
            return tab.page.context.storage_state()


@pytest.fixture(scope="module")
def house(require: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    chromium = require("chromium")
    from playwright.sync_api import sync_playwright

    folder = tmp_path_factory.mktemp("site")
    root = site.make(folder / "shop")
    owner, _ = keys.add(root / "keys.toml", "owner")
    guest, _ = keys.add(root / "keys.toml", "guest", services=["risk_v1"])
    with (
        site.serving(root, folder / "serve.py", FEATURESTORE_SERVER__API_KEYS="keys.toml") as served,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            yield House(served, browser, owner, guest)
        finally:
            browser.close()

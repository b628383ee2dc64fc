"""What people see: every page in a real browser, by mouse and by keyboard, in both themes, with and without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import House, Visit

FEATURE = "/features/card_payments/amount_sum_7d"
PAGES = [
    "/",
    "/entities/customer",
    "/sources/payments",
    "/views/card_payments",
    FEATURE,
    "/services/fraud_v1",
    "/freshness",
    "/drift",
    "/skew",
    "/history",
]
"""One of each kind; links lead to the others."""
MOST_BYTES = 150_000
IN_BOTH_THEMES = ["/", "/freshness", "/drift", FEATURE]


def faults(tab: Visit, paths: Iterable[str]) -> dict[str, list[str]]:
    """Of each page that has any: what the browser complains of, and what axe does."""
    found = {}
    for path in paths:
        response = tab.go(path)
        assert response.status == 200, path
        assert len(response.body()) < MOST_BYTES, path
        found[path] = [*tab.problems, *tab.faults()]
        tab.problems.clear()
    return {path: wrong for path, wrong in found.items() if wrong}


def test_every_page_is_quiet_asks_nobody_else_and_can_be_read_by_everybody(house: House) -> None:
    with house.visit() as tab:
        assert faults(tab, PAGES) == {}


def test_pages_can_be_read_in_the_dark(house: House) -> None:
    with house.visit(color_scheme="dark") as tab:
        assert faults(tab, IN_BOTH_THEMES) == {}
        assert _luminance(tab) < 60


def _luminance(tab: Visit) -> float:
    """Of the page's ground, 0 to 255."""
    colour = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


def test_every_link_of_the_site_leads_to_a_page(house: House) -> None:
    with house.visit() as tab:
        seen, waiting = {"/"}, ["/"]
        while waiting:
            path = waiting.pop()
            answer = tab.page.context.request.get(house.site.address + path, headers={"accept": "text/html"})
            assert answer.status == 200, path
            body = answer.text()
            assert len(body.encode()) < MOST_BYTES, path
            links = {link.replace("&amp;", "&") for link in re.findall(r'<a [^>]*?href="(/[^"#]*)"', body)}
            fresh = {link for link in links - seen if not link.startswith("/?") or "page=" in link}
            seen |= fresh
            waiting += fresh
        assert {path.partition("?")[0] for path in PAGES} <= {path.partition("?")[0] for path in seen}
        assert len(seen) > 20


def test_a_search_by_keyboard_finds_a_feature_and_opens_it(house: House) -> None:
    with house.visit() as tab:
        tab.go("/")
        tab.page.keyboard.press("Tab")
        assert tab.page.evaluate("document.activeElement.textContent") == "Skip to the content"
        tab.page.keyboard.press("Enter")
        for _ in range(40):
            tab.page.keyboard.press("Tab")
            if tab.page.evaluate("document.activeElement.id") == "q":
                break
        tab.page.keyboard.type("amount_sum_7d")
        expect(tab.page.locator("#results tbody tr")).to_have_count(1)
        assert "q=amount_sum_7d" in tab.page.url
        assert tab.page.evaluate("document.activeElement.id") == "q", "who types goes on typing"
        tab.page.get_by_role("link", name="amount_sum_7d", exact=True).focus()
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_url(f"**{FEATURE}")
        assert tab.text("h1") == "amount_sum_7d"
        assert tab.problems == []


def test_a_look_up_is_tried_by_keyboard(house: House) -> None:
    with house.visit() as tab:
        tab.go("/services/fraud_v1")
        fields = tab.page.locator("form.fields input")
        fields.first.focus()
        for _ in range(fields.count()):
            tab.page.keyboard.type("1")
            tab.page.keyboard.press("Tab")
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_selector("#answer table")
        assert "amount_sum_7d" in tab.text("#answer")
        assert tab.faults() == [], "with its answer"
        fields.first.fill("no number")
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_selector("#answer .alert")
        assert "is no whole number" in tab.text("#answer")
        assert tab.problems == []


def test_the_theme_that_was_chosen_stays(house: House) -> None:
    with house.visit(color_scheme="light") as tab:
        tab.go("/")
        theme = tab.page.locator("#theme")
        assert _luminance(tab) > 200
        theme.click()
        theme.click()
        assert "dark" in theme.inner_text()
        assert _luminance(tab) < 60
        tab.go("/freshness")
        assert _luminance(tab) < 60
        assert tab.problems == []


def test_pages_work_without_javascript(house: House) -> None:
    with house.visit(java_script_enabled=False) as tab:
        tab.go("/")
        tab.page.get_by_label("Search names").fill("amount_sum_7d")
        tab.page.get_by_role("button", name="Search").click()
        assert tab.page.locator("#results tbody tr").count() == 1
        tab.page.get_by_role("link", name="amount_sum_7d", exact=True).click()
        assert tab.text("h1") == "amount_sum_7d"
        tab.go("/services/fraud_v1")
        assert "curl" in tab.text()
        assert tab.page.locator("form.fields").is_hidden()
        tab.go("/skew")
        tab.page.get_by_text("examples of").first.click()
        assert "customer_id=40" in tab.text()
        assert tab.problems == []


def test_one_signs_in_with_a_key_and_out_again(house: House) -> None:
    with house.visit("") as tab:
        tab.go("/freshness")
        assert tab.text("h1") == "Sign in"
        assert tab.faults() == []
        tab.page.get_by_label("API key").fill("fsk_00000000_" + "a" * 43)
        tab.page.get_by_role("button", name="Sign in").click()
        assert "not known" in tab.page.get_by_role("alert").inner_text()
        tab.problems.clear()  # a browser tells of the 403
        tab.page.get_by_label("API key").fill(house.owner)
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_url("**/freshness")
        assert house.owner not in tab.page.content()
        tab.page.get_by_role("button", name="Sign out").click()
        tab.go("/freshness")
        assert tab.text("h1") == "Sign in"
        assert tab.problems == []


def test_a_guest_sees_what_the_key_is_for(house: House) -> None:
    with house.visit("guest") as tab:
        for path in ("/", "/freshness", "/drift", "/skew", "/history"):
            assert tab.go(path).status == 200
            assert "card_payments" not in tab.page.content()
            assert "fraud_v1" not in tab.page.content()
        tab.go("/freshness")
        assert "merchant_profile" in tab.text()
        assert tab.problems == []
        assert tab.go("/services/fraud_v1").status == 404
        assert tab.text("h1")


def test_a_stopped_feed_is_seen_without_colour_too(house: House) -> None:
    with house.visit() as tab:
        tab.go("/freshness")
        row = tab.page.locator("tbody tr").first
        assert "card_payments" in row.inner_text()
        assert "✖ stopped" in row.inner_text()
        red, green, blue = map(
            int, re.findall(r"\d+", row.locator(".state").first.evaluate("e => getComputedStyle(e).color"))[:3]
        )
        assert red > 2 * max(green, blue)
        tab.go("/")
        assert "open alerts" in tab.text()
        tab.page.get_by_role("link", name="freshness of card_payments").click()
        tab.page.wait_for_url("**/freshness")


def test_pages_fit_a_phone(house: House) -> None:
    with house.visit(viewport={"width": 360, "height": 640}) as tab:
        for path in IN_BOTH_THEMES:
            tab.go(path)
            wide = tab.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 360, path


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_link_can_be_read_by_everybody_in_both_themes(house: House, theme: str) -> None:
    with house.visit(color_scheme=theme) as tab:
        tab.go("/")
        paths = {
            *PAGES,
            "/?q=amount",
            "/drift?kind=service&of=fraud_v1",
            *re.findall(r'<a [^>]*?href="(/[^"#?]*)"', tab.page.content()),
        }
        assert faults(tab, sorted(paths)) == {}
        tab.page.set_viewport_size({"width": 360, "height": 640})
        assert faults(tab, PAGES) == {}

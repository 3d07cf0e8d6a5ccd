"""The page on a phone, and for people who can't see or use a mouse: widths, and what axe says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.scene import SICK, Scene, served
from tests.website import DeafStore

AXE = Path(__file__).parents[1] / "data" / "axe" / "axe.js"
PAGES = (
    "/",
    f"/jobs/{SICK.job_id}?account={SICK.account}",
    "/alerts",
    "/proposals",
    "/silences",
    "/receivers",
    "/watcher",
    "/login",
    "/nowhere",
)
_RUN = "() => axe.run(document, {resultTypes: ['violations']}).then(found => found.violations)"


LOOKS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1280), ("dark", 360))
EMPTY = {
    "/": "No jobs yet.",
    "/alerts": "Nothing fires.",
    "/proposals": "No cancel is proposed.",
    "/silences": "Nothing is silenced.",
    "/receivers": "nothing sent yet",
    "/watcher": "",
}
"""What stands on each page before anything was seen."""


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """A policy that keeps foreign scripts out would keep axe out too; what it looks at is the same."""
    context = browser.new_context(bypass_csp=True, has_touch=True)
    yield context.new_page()
    context.close()


def kept_out(tab: Page) -> list[str]:
    """What keeps people out of the page that is open: light on a desk, dark on a phone."""
    tab.add_script_tag(path=AXE)
    found = []
    for theme, window in LOOKS:
        tab.emulate_media(color_scheme=theme)
        tab.set_viewport_size({"width": window, "height": 740})
        found += [
            f"{theme} {tab.url}: {entry['id']}: {node['html'][:160]}"
            for entry in tab.evaluate(_RUN)
            if entry["impact"] in ("serious", "critical")
            for node in entry["nodes"]
        ]
    return found


def width(tab: Page, window: int) -> int:
    """How wide the page is in a window so wide."""
    tab.set_viewport_size({"width": window, "height": 740})
    return int(tab.evaluate("document.documentElement.scrollWidth"))


def test_nothing_serious_keeps_anybody_out(tab: Page, scene: Scene) -> None:
    found = []
    for path in PAGES:
        tab.goto(scene.url + path)
        if "jobs/" in path:
            tab.wait_for_selector("#curve[data-drawn]")
        found += kept_out(tab)

    assert found == []


def test_what_is_empty_says_so_and_fills_by_itself_with_five_hundred_jobs(tab: Page, tmp_path: Path) -> None:
    with served(tmp_path) as scene:
        for path, words in EMPTY.items():
            tab.goto(scene.url + path)
            expect(tab.locator("main")).to_contain_text(words)
            assert width(tab, 360) == 360
        tab.goto(scene.url)
        assert kept_out(tab) == []
        expect(tab.locator("#live.on")).to_be_attached()
        scene.fill(500)
        expect(tab.locator("#rows tr")).to_have_count(500)
        tab.fill("#filter", "sql-7")
        expect(tab.locator("#rows tr:visible")).to_have_count(len([n for n in range(2, 500, 5) if str(n)[0] == "7"]))
        assert width(tab, 360) == 360


def test_a_store_that_can_not_be_read_is_said_and_the_page_comes_back_when_it_can(
    tab: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path) as scene:
        with monkeypatch.context() as broken:
            broken.setattr(scene.app.store, "read", DeafStore().read)
            for path in EMPTY:
                answer = tab.goto(scene.url + path)
                assert answer is not None
                assert answer.status == 503
                expect(tab.get_by_role("heading", level=1)).to_have_text("I can't see")
                assert "/secret/place" not in tab.content()
            assert kept_out(tab) == []
            assert width(tab, 360) == 360
        tab.reload()
        expect(tab.get_by_role("heading", name="The watcher itself")).to_be_visible()


def test_no_page_is_wider_than_its_window(tab: Page, scene: Scene) -> None:
    wide = {}
    for path in PAGES:
        tab.goto(scene.url + path)
        if "jobs/" in path:
            tab.wait_for_selector("#curve[data-drawn]")
        for window in (768, 360):
            if (found := width(tab, window)) > window:
                wide[window, path] = found

    assert wide == {}

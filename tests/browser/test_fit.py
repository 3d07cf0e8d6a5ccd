"""The page on a phone, and for people who can't see or use a mouse: widths, and what axe says."""

from pathlib import Path

from playwright.sync_api import Browser

from tests.scene import SICK, Scene

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


def test_nothing_serious_keeps_anybody_out(browser: Browser, scene: Scene) -> None:
    # A policy that keeps foreign scripts out would keep axe out too; what it looks at is the same.
    context = browser.new_context(bypass_csp=True)
    tab = context.new_page()
    found = []
    for path in PAGES:
        tab.goto(scene.url + path)
        if "jobs/" in path:
            tab.wait_for_selector("#curve[data-drawn]")
        tab.add_script_tag(path=AXE)
        for theme in ("light", "dark"):
            tab.emulate_media(color_scheme=theme)
            found += [
                f"{theme} {path}: {entry['id']}: {node['html'][:160]}"
                for entry in tab.evaluate(_RUN)
                if entry["impact"] in ("serious", "critical")
                for node in entry["nodes"]
            ]
    context.close()

    assert found == []


def test_no_page_is_wider_than_its_window(browser: Browser, scene: Scene) -> None:
    context = browser.new_context(has_touch=True)
    tab = context.new_page()
    wide = {}
    for path in PAGES:
        tab.goto(scene.url + path)
        if "jobs/" in path:
            tab.wait_for_selector("#curve[data-drawn]")
        for width in (768, 360):
            tab.set_viewport_size({"width": width, "height": 740})
            if (found := tab.evaluate("document.documentElement.scrollWidth")) > width:
                wide[width, path] = found
    context.close()

    assert wide == {}

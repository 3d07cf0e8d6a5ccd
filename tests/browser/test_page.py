"""The page in a browser: what scripts add to it, and that it asks nobody else for anything."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect

from tests.receivers import HttpReceiver
from tests.scene import SICK, TOKEN, Scene
from tests.stored import a_job, a_proposal
from watcher.service.records import JobKey, ProposalState

SICK_PAGE = f"/jobs/{SICK.job_id}?account={SICK.account}"
WAIT = 8000.0


class Watch:
    """A tab, and what went wrong in it: messages of the console, requests to others, answers that failed."""

    def __init__(self, context: BrowserContext, scene: Scene) -> None:
        self.scene, self.tab = scene, context.new_page()
        self.wrong: list[str] = []
        self.tab.set_default_timeout(WAIT)
        self.tab.on("console", lambda m: self.wrong.append(m.text) if m.type in ("error", "warning") else None)
        self.tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.tab.on("response", self._answered)

    def _answered(self, answer: Response) -> None:
        if not answer.url.startswith(self.scene.url) or answer.status >= 400:
            self.wrong.append(f"{answer.status} {answer.url}")

    def go(self, path: str) -> Page:
        self.tab.goto(self.scene.url + path)
        if not path.startswith("/login"):
            expect(self.tab.locator("#live.on")).to_be_attached()
        return self.tab

    def names(self) -> list[str]:
        return self.tab.locator("#rows tr:visible .name a").all_text_contents()


@pytest.fixture
def watch(browser: Browser, scene: Scene) -> Iterator[Watch]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light", locale="en-GB")
    found = Watch(context, scene)
    yield found
    context.close()
    assert found.wrong == []


def sign_in(watch: Watch, path: str) -> Page:
    """As somebody who has the token; the browser goes on to the page."""
    tab = watch.go(f"/login?next={path}")
    tab.fill("[name=token]", TOKEN)
    tab.fill("[name=name]", "Ada")
    tab.click("button[type=submit]")
    expect(tab).to_have_url(watch.scene.url + path)
    return tab


def test_every_page_loads_without_a_complaint_and_asks_only_here(watch: Watch) -> None:
    paths = ("/", SICK_PAGE, "/alerts", "/proposals", "/silences", "/receivers", "/watcher")
    titles = [re.sub(r"^\(\d+\) ", "", watch.go(path).title()) for path in paths]

    assert titles == [
        "watcher",
        "diverging · watcher",
        "Alerts · watcher",
        "Proposals · watcher",
        "Silences · watcher",
        "Receivers · watcher",
        "The watcher itself · watcher",
    ]


def test_the_list_filters_by_words_and_without_words(watch: Watch) -> None:
    tab = watch.go("/")

    tab.fill("#filter", "sql -queued")
    expect(tab.locator("[data-found]")).to_have_text(re.compile("^2 of 1[34]$"))
    assert watch.names() == ["sql-2", "sql-7"]

    tab.fill("#filter", "no such thing")
    expect(tab.locator("#no-match")).to_be_visible()
    tab.click("#no-match button")
    expect(tab.locator("#no-match")).to_be_hidden()
    assert {"diverging", "sql-2", "legal-3"} < set(watch.names())

    tab.click("[data-show=firing]")
    expect(tab.locator("#rows tr:visible")).to_have_count(2)
    assert watch.names() == ["diverging", "support-0"]


def test_a_head_sorts_up_then_down_then_as_the_server_does_and_the_address_keeps_it(watch: Watch) -> None:
    tab = watch.go("/")
    served = watch.names()
    head = tab.get_by_role("button", name="Job", exact=True)

    head.click()
    assert watch.names() == sorted(served)
    head.click()
    assert watch.names() == sorted(served, reverse=True)
    tab.reload()
    assert watch.names() == sorted(served, reverse=True)
    expect(tab.locator("th[aria-sort=descending]")).to_have_count(1)
    head.click()
    assert watch.names() == served


def test_a_change_appears_by_itself_and_leaves_the_rest_alone(watch: Watch) -> None:
    tab = watch.go("/")
    tab.fill("#filter", "ft-")
    tab.evaluate("document.querySelector('#rows tr[data-key=\"main/ft-0001\"]').dataset.mine = 'kept'")
    tab.focus("#filter")

    record = watch.scene.job(6)
    watch.scene.change(lambda tx: tx.save_job(replace(record, health="diverging")))
    watch.scene.change(lambda tx: tx.save_job(a_job(JobKey("main", "ft-new"))))

    expect(tab.locator('tr[data-key="main/ft-0006"] .health')).to_have_text("diverging")
    expect(tab.locator('tr[data-key="main/ft-new"]')).to_be_visible()
    assert tab.locator("#rows tr[data-mine=kept]").count() == 1
    assert tab.evaluate("document.activeElement.id") == "filter"
    assert tab.input_value("#filter") == "ft-"


def test_the_row_that_changes_keeps_the_focus(watch: Watch) -> None:
    tab = watch.go("/")
    tab.focus('tr[data-key="main/ft-0001"] a')

    record = watch.scene.job(1)
    watch.scene.change(lambda tx: tx.save_job(replace(record, health="overfitting")))

    expect(tab.locator('tr[data-key="main/ft-0001"] .health')).to_have_text("overfitting")
    assert tab.evaluate("document.activeElement.textContent") == "triage-1"


def test_what_cannot_be_seen_is_said_when_it_begins_and_gone_when_it_ends(watch: Watch) -> None:
    tab = watch.go("/")
    health = watch.scene.health

    health.blind = ["account main: no useful sweep within 90 s (auth)"]
    watch.scene.change(lambda tx: tx.save_job(watch.scene.job(2)))
    expect(tab.locator("#blind")).to_contain_text("no useful sweep")

    health.blind = []
    watch.scene.change(lambda tx: tx.save_job(watch.scene.job(2)))
    expect(tab.locator("#blind .banner")).to_have_count(0)


def test_a_stream_that_dies_is_said_and_comes_back(watch: Watch) -> None:
    tab = watch.go("/")

    tab.route("**/events", lambda route: route.abort())
    tab.reload()
    expect(tab.locator("#live")).to_contain_text(re.compile(r"not live, +as of \d\d:\d\d:\d\d"))
    tab.unroute("**/events")
    expect(tab.locator("#live.on")).to_be_attached()
    watch.wrong = [line for line in watch.wrong if "ERR_FAILED" not in line]


def test_a_page_that_does_not_come_is_said_and_tried_again_while_the_old_one_stays(watch: Watch) -> None:
    tab = watch.go("/")

    tab.route(f"{watch.scene.url}/", lambda route: route.fulfill(status=503, body="no"))
    watch.scene.change(lambda tx: tx.save_job(watch.scene.job(4)))
    expect(tab.locator("#live")).to_contain_text("can’t see now, as of")
    assert "legal-3" in watch.names()
    tab.unroute(f"{watch.scene.url}/")
    expect(tab.locator("#live.on")).to_be_attached()
    watch.wrong = [line for line in watch.wrong if "503" not in line]


def test_the_curve_is_drawn_read_zoomed_and_shown_whole_again(watch: Watch) -> None:
    tab = watch.go(SICK_PAGE)
    expect(tab.locator("#curve[data-drawn]")).to_be_visible()
    plot = tab.locator("#plot .u-over")
    box = plot.bounding_box()
    assert box is not None

    assert tab.evaluate(_INK) > 200
    tab.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 50)
    expect(tab.locator("#readout")).to_contain_text(re.compile(r"step 80 train [\d.]+ smoothed [\d.]+ eval 1\.42"))
    expect(tab.locator("#marks")).to_have_text(
        re.compile("divergence .*at step 70.*cancel: .* at step 72.*2 checkpoints")
    )

    tab.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 50)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60, steps=4)
    tab.mouse.up()
    tab.mouse.move(box["x"] + 2, box["y"] + 60)
    expect(tab.locator("#readout")).to_contain_text("step 40")
    tab.click("[data-whole]")
    tab.mouse.move(box["x"] + 2, box["y"] + 60)
    expect(tab.locator("#readout")).to_contain_text("step 1 ")


def test_series_and_scale_of_the_curve_are_toggled_and_arrows_read_it(watch: Watch) -> None:
    tab = watch.go(SICK_PAGE)
    expect(tab.locator("#curve[data-drawn]")).to_be_visible()

    tab.click("[data-series=grad_norm]")
    tab.click("[data-series=learning_rate]")
    tab.click("[data-series=train]")
    tab.keyboard.press("l")
    expect(tab.locator("[data-log]")).to_have_attribute("aria-pressed", "true")
    tab.focus("#plot")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowRight")

    text = tab.locator("#readout").text_content() or ""
    assert re.search(r"step 2 smoothed .* learning rate [\d.e-]+ *gradient norm 1\.4", text)
    assert "train" not in text


def test_a_new_row_reaches_the_curve(watch: Watch) -> None:
    tab = watch.go(SICK_PAGE)
    expect(tab.locator("#curve[data-drawn]")).to_be_visible()
    before = int(tab.get_attribute("#curve", "data-drawn") or 0)

    watch.scene.grow()

    expect(tab.locator("#curve")).to_have_attribute("data-drawn", str(before + 1))


def test_the_colours_follow_the_system_until_somebody_chooses(watch: Watch) -> None:
    tab = watch.go("/")
    page = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(page)

    tab.emulate_media(color_scheme="dark")
    dark = tab.evaluate(page)
    assert dark != light
    tab.click("#theme")
    assert tab.evaluate(page) == light
    tab.reload()
    assert tab.evaluate(page) == light
    tab.keyboard.press("t")
    assert tab.evaluate(page) == dark
    expect(tab.locator("#theme")).to_have_accessible_name("Colours: dark")


def test_the_keyboard_goes_everywhere(watch: Watch) -> None:
    tab = watch.go("/")
    focused = "document.activeElement.textContent"

    tab.keyboard.press("j")
    first = tab.evaluate(focused)
    tab.keyboard.press("j")
    assert tab.evaluate(focused) != first
    tab.keyboard.press("k")
    assert tab.evaluate(focused) == first
    tab.keyboard.press("/")
    tab.keyboard.type("legal-3")
    tab.keyboard.press("Enter")
    tab.keyboard.press("Escape")
    tab.keyboard.press("?")
    expect(tab.get_by_role("dialog", name="Keys")).to_be_visible()
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("dialog")).to_have_count(0)
    tab.keyboard.press("g")
    tab.keyboard.press("w")
    expect(tab).to_have_title("The watcher itself · watcher")


def test_a_proposal_counts_down_and_is_vetoed_with_a_reason(watch: Watch) -> None:
    tab = watch.go("/proposals")
    begun = tab.locator("time[data-until]").text_content()
    expect(tab.locator("time[data-until]")).not_to_have_text(begun or "")

    tab.click("#open-rows a:text('Sign in')")
    tab.fill("[name=token]", TOKEN)
    tab.fill("[name=name]", "Ada")
    tab.click("button[type=submit]")
    expect(tab).to_have_url(f"{watch.scene.url}/proposals")
    tab.fill("[name=why]", "it is a warm-up")
    watch.scene.change(
        lambda tx: tx.save_job(watch.scene.job(3))
    )  # a page that comes anew must not take the words away
    tab.wait_for_timeout(1500)
    tab.click("text=Veto")

    expect(tab.locator("#audit-block")).to_contain_text("it is a warm-up")
    expect(tab.locator("#open-block")).to_contain_text("No cancel is proposed")
    found = watch.scene.app.store.read_now(lambda reads: reads.proposal("p1"))
    assert found is not None
    assert found.state is ProposalState.VETOED


def test_an_alert_is_acknowledged_and_silenced_and_the_silence_ended(watch: Watch) -> None:
    tab = sign_in(watch, "/alerts")
    alert = tab.locator("#firing-block li.critical")
    alert.locator("[name=note]").fill("on it")
    alert.get_by_role("button", name="Acknowledge").click()
    expect(alert).to_contain_text("acknowledged by Ada")

    alert.get_by_role("link", name="Silence…").click()
    assert tab.input_value("#matchers") == f"rule=divergence job={SICK.job_id}"
    tab.fill("#comment", "known noise")
    tab.click("#new-silence button")
    expect(tab.locator("#active-block")).to_contain_text(f"job={SICK.job_id}")
    tab.click("text=End it now")
    expect(tab.locator("#active-block")).to_contain_text("Nothing is silenced.")
    expect(tab.locator("#past-block")).to_contain_text("known noise")


def test_a_cancel_is_approved_by_the_keyboard(watch: Watch) -> None:
    sign_in(watch, "/proposals")
    key = JobKey("main", "ft-0001")
    proposal = a_proposal(
        "p2", key, proposed_at=watch.scene.ago(1), announced_at=watch.scene.ago(1), deadline_at=watch.scene.ago(-9)
    )
    watch.scene.change(lambda tx: tx.add_proposal(proposal))
    approve = watch.tab.locator("#proposal-p2").get_by_role("button", name="Cancel it now")
    watch.tab.locator("#proposal-p2 [name=why]").focus()
    watch.tab.keyboard.type("it is lost")
    watch.tab.keyboard.press("Tab")
    watch.tab.keyboard.press("Tab")
    expect(approve).to_be_focused()
    watch.tab.keyboard.press("Enter")

    expect(watch.tab.locator("#audit-block")).to_contain_text("it is lost")
    expect(approve).to_have_count(0)
    found = watch.scene.app.store.read_now(lambda reads: reads.proposal("p2"))
    assert found is not None
    assert found.approved_at is not None
    over = replace(found, state=ProposalState.WITHDRAWN, ended_at=watch.scene.now)  # other tests count those under way
    watch.scene.change(lambda tx: tx.move_proposal("p2", ProposalState.PROPOSED, over))


def test_a_drill_arrives_and_its_result_stands_on_the_page(
    watch: Watch, team: HttpReceiver, refusing: HttpReceiver
) -> None:
    tab = sign_in(watch, "/receivers")
    expect(tab.locator("#receivers-block tbody tr")).to_have_count(2)
    for name, result, why in (("team", "delivered", ""), ("refusing", "gave up", "json: answered 404")):
        row = tab.locator("#receivers-block tr", has_text=name)
        row.get_by_role("button", name="Send a drill").click()
        expect(row.locator(".severity")).to_have_text(result)
        expect(row).to_contain_text(why)

    assert "watcher: drill (receiver:team)" in [request.json["title"] for request in team.requests]
    assert [request.json["title"] for request in refusing.requests] == ["watcher: drill (receiver:refusing)"]
    expect(tab.locator("#outbox-block")).to_contain_text("json: answered 404")


def test_who_is_not_logged_in_finds_no_button(watch: Watch) -> None:
    for path in ("/", SICK_PAGE, "/alerts", "/proposals", "/silences", "/receivers"):
        tab = watch.go(path)
        assert tab.locator("form.act, form[action^='/act/']").count() == 0, path


def test_without_scripts_everything_is_there(browser: Browser, scene: Scene) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(scene.url + SICK_PAGE)

    assert tab.locator(".js:visible").count() == 0
    drawing = tab.locator("img.drawing")
    expect(drawing).to_be_visible()
    answer = context.request.get(scene.url + (drawing.get_attribute("src") or ""))
    assert answer.headers["content-type"] == "image/svg+xml"
    context.close()


_INK = """() => {
  const canvas = document.querySelector('#plot canvas');
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let inked = 0;
  for (let i = 3; i < pixels.length; i += 4) if (pixels[i] > 128) inked++;
  return inked;
}"""

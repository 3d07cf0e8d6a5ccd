"""Orders over HTTP on a real server: who may give them, what they do, and that each is kept with who, how and why."""

import asyncio
import hmac
import re
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from tests.doors import ALERT, TOKEN, Doors, open_doors
from tests.fakes import FakeClock
from tests.leaks import CANARY
from tests.stored import NOW, at
from watcher.service.records import Act, ProposalState
from watcher.web import bodies
from watcher.web.session import LIFETIME, Sessions
from watcher.web.throttle import BURST, EVERY

HERE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    async with open_doors(tmp_path) as opened:
        yield opened


def kept(doors: Doors) -> list[tuple[str, str, Act, str]]:
    return [(entry.who, entry.via, entry.what, entry.why) for entry in doors.audits()]


def state(doors: Doors, proposal: str = "p1") -> ProposalState:
    found = doors.app.store.read_now(lambda reads: reads.proposal(proposal))
    assert found is not None
    return found.state


# --- logging in ---


async def test_the_token_and_a_name_begin_a_session_that_the_browser_keeps_to_itself(doors: Doors) -> None:
    answer = await doors.log_in("Ada", next="/jobs/ft-1?account=main")

    cookie = answer.headers["set-cookie"].lower()
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs/ft-1?account=main")
    assert all(
        word in cookie for word in ("watcher_session=", "httponly", "samesite=strict", "max-age=43200", "path=/")
    )
    assert "secure" not in cookie
    assert TOKEN not in cookie
    assert await doors.csrf()


async def test_behind_https_the_cookie_is_for_https_alone(tmp_path: Path) -> None:
    async with open_doors(tmp_path, public_url="https://watcher.example.com") as doors:
        answer = await doors.log_in()

    assert "secure" in answer.headers["set-cookie"].lower()


async def test_a_session_ends_by_itself_and_by_logging_out_wherever_its_cookie_is(doors: Doors) -> None:
    await doors.log_in()
    copy = dict(doors.client.cookies)
    csrf = await doors.csrf()
    out = await doors.client.post("/logout", data={"csrf": csrf})
    after = await doors.client.get("/word", headers={"Cookie": "; ".join(f"{k}={v}" for k, v in copy.items())})
    await doors.log_in()
    doors.clock.advance(LIFETIME.total_seconds() - 1)
    before = await doors.csrf()
    doors.clock.advance(1)

    assert (out.status_code, csrf != "", after.text) == (303, True, "")
    assert (before != "", await doors.csrf()) == (True, "")


async def test_a_wrong_token_gets_no_session_and_the_page_says_so(doors: Doors) -> None:
    answer = await doors.client.post("/login", data={"token": TOKEN[:-1], "name": "Ada"})

    assert (answer.status_code, "not the token" in answer.text) == (403, True)
    assert "set-cookie" not in answer.headers


async def test_a_cookie_that_was_not_made_here_is_worth_nothing(doors: Doors) -> None:
    cookie = (await doors.log_in()).cookies["watcher_session"]
    doors.client.cookies.clear()
    forged = {
        "another name": cookie.replace(b"Ada".hex(), b"Eve".hex()),
        "cut": cookie[:-1],
        "no signature": cookie.rpartition(".")[0],
        "empty": "",
        "long": "." * 5000,
        "not ascii": "é.ü",
    }
    for what, value in forged.items():
        header = {b"Cookie": f"watcher_session={value}".encode("latin-1")}
        answer = await doors.client.get("/word", headers=header)

        assert (answer.status_code, answer.text) == (200, ""), what


async def test_a_session_that_was_ended_stays_so_after_a_restart(tmp_path: Path) -> None:
    async with open_doors(tmp_path) as doors:
        cookies = []
        for name in ("Ada", "Bob"):
            cookies.append({"Cookie": f"watcher_session={(await doors.log_in(name)).cookies['watcher_session']}"})
            if name == "Ada":
                await doors.client.post("/logout", data={"csrf": await doors.csrf()})
    with sqlite3.connect(tmp_path / "watcher.db") as raw:
        raw.executescript("DELETE FROM alerts; DELETE FROM proposals; DELETE FROM jobs")  # made anew
    async with open_doors(tmp_path) as again:
        words = [(await again.client.get("/word", headers=cookie)).text for cookie in cookies]

    assert [bool(word) for word in words] == [False, True]


async def test_another_token_ends_every_session(tmp_path: Path) -> None:
    async with open_doors(tmp_path) as doors:
        cookie = (await doors.log_in()).cookies["watcher_session"]
        await doors.app.store.aclose()
        header = {"Cookie": f"watcher_session={cookie}"}
        mine = (await doors.client.get("/word", headers=header)).text
    (tmp_path / "watcher.db").unlink()
    async with open_doors(tmp_path) as again:
        still = (await again.client.get("/word", headers=header)).text
    (tmp_path / "watcher.db").unlink()
    async with open_doors(tmp_path, token=f"another-{CANARY}") as changed:
        gone = (await changed.client.get("/word", headers=header)).text

    assert (bool(mine), still == mine, gone) == (True, True, "")


async def test_nobody_is_sent_to_another_site_after_logging_in(doors: Doors) -> None:
    others = ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/\t/evil", "/é", "")
    for then in others:
        answer = await doors.log_in(next=then)

        assert (answer.status_code, answer.headers["location"]) == (303, "/"), then


async def test_wrong_tokens_are_slowed_down_counted_and_soon_forgiven(doors: Doors) -> None:
    wrong = [(await doors.client.post("/login", data={"token": "x", "name": "Eve"})).status_code for _ in range(BURST)]
    refused = await doors.log_in()
    program = await doors.order("POST", "/drill", {"name": "Ada"})
    await doors.client.post("/login", data={"token": "x", "name": "Eve"})  # not looked at: puts nothing off
    doors.clock.advance(EVERY)
    right = await doors.log_in()
    metrics = (await doors.client.get("/metrics")).text

    assert re.findall(r'^watcher_web_logins_total{outcome="(\w+)"} (\d+)', metrics, re.MULTILINE) == [
        ("ok", "1"),
        ("wrong", str(BURST)),
        ("slowed", "3"),
    ]
    assert wrong == [403] * BURST
    assert (refused.status_code, int(refused.headers["retry-after"]) <= EVERY + 1) == (429, True)
    assert program.status_code == 429
    assert right.status_code == 303


async def test_guesses_from_many_addresses_are_all_counted_and_fill_no_log(doors: Doors) -> None:
    transport = [httpx.ASGITransport(app=doors.web, client=(f"10.0.0.{number}", 1)) for number in range(20)]
    with capture_logs() as logged:
        for one in transport:
            async with httpx.AsyncClient(transport=one, base_url=doors.server.url) as client:
                answer = await client.post("/login", data={"token": "x", "name": "Eve"})
                assert answer.status_code == 403
        doors.clock.advance(EVERY)
        await doors.client.post("/login", data={"token": "x", "name": "Eve"})
    health = (await doors.client.get("/api/v1/health")).json()

    assert [(line["event"], line["failures"]) for line in logged] == [
        ("web.login_failed", failures) for failures in (*range(1, BURST + 1), 21)
    ]
    assert health["failed_logins"] == 21


async def test_tokens_are_compared_in_constant_time(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def spy(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    await doors.client.post("/login", data={"token": "guess", "name": "Eve"})
    await doors.client.post("/api/v1/drill", headers={"Authorization": "Bearer guess2"})
    await doors.log_in()
    await doors.client.post("/act/veto", data={"csrf": "guess3", "proposal": "p1"})

    assert {(TOKEN.encode(), b"guess"), (TOKEN.encode(), b"guess2")} <= set(compared)
    assert b"guess3" in {other for _, other in compared}


async def test_the_token_shows_nowhere(doors: Doors, caplog: pytest.LogCaptureFixture) -> None:
    answers = [
        await doors.log_in(),
        await doors.client.get("/login"),
        await doors.client.post("/login", data={"token": f"{TOKEN}x", "name": "Eve"}),
        await doors.client.post("/login", data={"token": f"{TOKEN}x", "name": "\x00"}),
        await doors.order("POST", "/proposals/nope/veto", {"name": "Ada"}),
    ]

    assert TOKEN not in caplog.text
    assert TOKEN not in "".join(f"{answer.headers}{answer.text}" for answer in answers)


# --- without a token ---


async def test_without_a_token_the_server_only_shows(tmp_path: Path) -> None:
    async with open_doors(tmp_path, token=None) as doors:
        answers = [
            await doors.client.post("/login", data={"token": "", "name": "Ada"}),
            await doors.client.post("/logout"),
            await doors.client.post("/act/veto", data={"proposal": "p1"}),
            await doors.order("POST", "/proposals/p1/veto", {"name": "Ada"}),
            await doors.client.post("/api/v1/drill", headers={"Authorization": "Bearer"}),
        ]
        page, done = await doors.client.get("/login"), kept(doors)

    assert done == []
    assert [answer.status_code for answer in answers] == [403] * len(answers)
    assert "web.token" in page.text
    assert "<form" not in page.text


# --- forms ---


async def test_who_is_not_logged_in_is_asked_to_and_nothing_is_done(doors: Doors) -> None:
    answer = await doors.client.post("/act/veto", data={"proposal": "p1", "next": "/proposals"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fproposals")
    assert (state(doors), kept(doors)) == (ProposalState.PROPOSED, [])


async def test_another_sites_form_does_nothing_even_with_the_right_word(doors: Doors) -> None:
    await doors.log_in()
    fields = {"proposal": "p1", "csrf": await doors.csrf(), "token": TOKEN, "name": "Eve"}
    elsewhere: list[dict[str, str]] = [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},  # a neighbour, such as another port
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {**HERE, "Origin": "https://evil.example"},
    ]
    for headers in elsewhere:
        for path in ("/act/veto", "/login", "/logout"):
            answer = await doors.client.post(path, data=fields, headers=headers)

            assert (answer.status_code, "set-cookie" in answer.headers) == (403, False), (path, headers)
    assert state(doors) is ProposalState.PROPOSED


async def test_a_form_without_the_word_of_its_session_does_nothing(doors: Doors) -> None:
    await doors.log_in()
    for csrf in ("", "0" * 64, "é"):
        answer = await doors.client.post("/act/veto", data={"proposal": "p1", "csrf": csrf}, headers=HERE)

        assert (answer.status_code, state(doors)) == (403, ProposalState.PROPOSED)


async def test_behind_a_proxy_forms_come_from_the_public_address(tmp_path: Path) -> None:
    async with open_doors(tmp_path, public_url="https://watcher.example.com") as doors:
        there = await doors.client.post(
            "/login", data={"token": TOKEN, "name": "Ada"}, headers={"Origin": "https://watcher.example.com"}
        )

    assert there.status_code == 303


async def test_a_form_acknowledges_an_alert(doors: Doors) -> None:
    await doors.log_in()
    answer = await doors.act("ack", alert=ALERT.id, note="on it", until="2h")

    ack = doors.app.store.read_now(lambda reads: reads.ack(ALERT.id))
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs/ft-1")
    assert (ack.author, ack.comment, ack.until) == ("Ada", "on it", at(120)) if ack else pytest.fail("no ack")
    assert kept(doors) == [("Ada", "page", Act.ACK, "on it")]


async def test_a_form_silences_and_ends_a_silence(doors: Doors) -> None:
    await doors.log_in()
    made = await doors.act("silence", matchers="suffix=nightly-* rule!=failure", duration="2h", comment="a move")
    (silence,) = doors.app.store.read_now(lambda reads: reads.silences(NOW))
    ended = await doors.act("unsilence", silence=silence.id)

    assert (made.status_code, ended.status_code) == (303, 303)
    assert [str(matcher) for matcher in silence.matchers] == ["suffix=nightly-*", "rule!=failure"]
    assert (silence.author, silence.comment) == ("Ada", "a move")
    assert silence.ends_at - silence.starts_at == timedelta(hours=2)
    assert doors.app.store.read_now(lambda reads: reads.silences(doors.clock.now())) == []
    assert kept(doors) == [("Ada", "page", Act.SILENCE, "a move"), ("Ada", "page", Act.EXPIRE, "")]
    assert silence.id in doors.audits()[0].outcome


async def test_forms_veto_and_approve(doors: Doors) -> None:
    await doors.log_in()
    answers = [await doors.act("veto", proposal="p1", why="it warms up"), await doors.act("approve", proposal="p2")]

    approved = doors.app.store.read_now(lambda reads: reads.proposal("p2"))
    assert [answer.status_code for answer in answers] == [303, 303]
    assert (state(doors), bool(approved and approved.approved_at)) == (ProposalState.VETOED, True)
    assert kept(doors) == [("Ada", "page", Act.VETO, "it warms up"), ("Ada", "page", Act.APPROVE, "")]


async def test_a_word_that_comes_too_late_is_told(doors: Doors) -> None:
    await doors.log_in()
    await doors.act("veto", proposal="p1")
    answer = await doors.act("approve", proposal="p1")

    assert (answer.status_code, "vetoed" in answer.text) == (409, True)


async def test_a_form_holds_a_drill(doors: Doors) -> None:
    await doors.log_in()
    answer = await doors.act("drill", why="before the weekend")

    assert answer.status_code == 303
    assert "This is a drill" in doors.app.console.getvalue()  # type: ignore[attr-defined]
    assert kept(doors) == [("Ada", "page", Act.DRILL, "before the weekend")]


UNMEANT_FORMS: list[tuple[str, dict[str, str], int]] = [
    ("ack", {"alert": "nope"}, 404),
    ("ack", {}, 400),
    ("ack", {"alert": ALERT.id, "until": "yesterday"}, 400),
    ("veto", {"proposal": "nope"}, 404),
    ("unsilence", {"silence": "nope"}, 404),
    ("drill", {"receiver": "nope"}, 404),
    ("veto", {"proposal": "p1", "why": "a\nb"}, 400),
    ("veto", {"proposal": "p1", "why": "\x1b[2J"}, 400),
    ("veto", {"proposal": "p1", "why": "\u202eevil"}, 400),
    ("veto", {"proposal": "p1", "why": "x" * 501}, 400),
    ("veto", {"proposal": "p1", "why": "x" * 20_000}, 413),
    ("silence", {"matchers": "rule=x", "duration": "soon", "comment": "c"}, 400),
    ("silence", {"matchers": "rule=x", "duration": "9999d", "comment": "c"}, 400),
    ("silence", {"matchers": "colour=x", "duration": "1h", "comment": "c"}, 400),
    ("silence", {"matchers": " ", "duration": "1h", "comment": "c"}, 400),
    ("silence", {"matchers": "rule=x " * 21, "duration": "1h", "comment": "c"}, 400),
    ("silence", {"matchers": "rule=x", "duration": "1h"}, 400),
]


async def test_a_form_that_can_not_be_meant_is_refused_whole(doors: Doors) -> None:
    await doors.log_in()
    for name, fields, status in UNMEANT_FORMS:
        answer = await doors.act(name, **fields)

        assert (answer.status_code, kept(doors)) == (status, []), (name, fields)
    assert state(doors) is ProposalState.PROPOSED


async def test_looking_at_an_act_does_nothing(doors: Doors) -> None:
    for name in ("ack", "silence", "unsilence", "veto", "approve", "drill"):
        assert (await doors.client.get(f"/act/{name}")).status_code == 405


# --- orders of programs ---


async def test_programs_give_the_same_orders_as_json(doors: Doors) -> None:
    ack = await doors.order("POST", f"/alerts/{ALERT.id}/ack", {"name": "bot", "note": "on it"})
    made = await doors.order(
        "POST", "/silences", {"name": "bot", "matchers": ["rule=stall"], "duration": 60, "comment": "why"}
    )
    bot = {"Watcher-Name": "bot"}
    ended = await doors.order("DELETE", f"/silences/{made.json()['id']}", {"comment": "done"}, **bot)
    veto = await doors.order("POST", "/proposals/p1/veto", {"name": "bot", "why": "no"})
    late = await doors.order("POST", "/proposals/p1/approve", {"name": "bot"})
    approved = await doors.order("POST", "/proposals/p2/approve", None, **bot)
    drill = await doors.order("POST", "/drill", {"name": "bot", "receiver": "console"})

    answers = (ack, made, ended, veto, late, approved, drill)
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 409, 200, 200]
    assert (ack.json()["acknowledged_by"], ended.json()["active"], veto.json()["outcome"]) == ("bot", False, "vetoed")
    assert (late.json()["outcome"], drill.json()["passed"]) == ("over", True)
    acts = [Act.ACK, Act.SILENCE, Act.EXPIRE, Act.VETO, Act.APPROVE, Act.APPROVE, Act.DRILL]
    assert [(entry.who, entry.via, entry.what) for entry in doors.audits()] == [("bot", "api", act) for act in acts]


async def test_without_the_token_a_program_changes_nothing(doors: Doors) -> None:
    await doors.log_in()  # a cookie is no token: a browser can be made to send it
    for value in (None, "Bearer wrong", f"Basic {TOKEN}", "Bearer"):
        headers = {} if value is None else {"Authorization": value}
        answer = await doors.client.post("/api/v1/proposals/p1/veto", json={"name": "Eve"}, headers=headers)

        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert (state(doors), kept(doors)) == (ProposalState.PROPOSED, [])


UNMEANT_ORDERS: list[tuple[str, Any, int, str]] = [
    ("/proposals/p1/veto", {}, 400, "name"),
    ("/proposals/p1/veto", {"name": "a\x00"}, 400, "name"),
    ("/proposals/p1/veto", {"name": "\ud800"}, 400, ""),
    ("/proposals/p1/veto", {"name": "a", "reason": "x"}, 400, "reason: unknown key"),
    ("/proposals/p1/veto", {"name": 7}, 400, "name: expected it to be a valid string"),
    ("/proposals/p1/veto", [], 400, "object"),
    ("/proposals/nope/veto", {"name": "a"}, 404, "proposal"),
    ("/alerts/nope/ack", {"name": "a"}, 404, "alert"),
    ("/drill", {"name": "a", "receiver": "nope"}, 404, "receiver"),
    ("/silences", {"name": "a"}, 400, "matchers: expected a value"),
    ("/silences", {"matchers": ["x"], "duration": True, "comment": "c"}, 400, "duration"),
    ("/silences", {"name": "a", "matchers": ["rule=x"], "duration": -1, "comment": "c"}, 400, "duration"),
    ("/proposals/p1/veto", {"name": "a", "why": "x" * 20_000}, 413, ""),
]


async def test_an_order_that_can_not_be_meant_says_what_is_wrong(doors: Doors) -> None:
    for path, body, status, told in UNMEANT_ORDERS:
        answer = await doors.order("POST", path, body)

        assert (answer.status_code, told in answer.json()["error"]) == (status, True), answer.text
    assert (state(doors), kept(doors)) == (ProposalState.PROPOSED, [])


async def test_a_body_that_a_form_of_another_site_could_send_is_no_order(doors: Doors) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
        answer = await doors.client.post("/api/v1/proposals/p1/veto", content='{"name": "Eve"}', headers=headers)

        assert (answer.status_code, state(doors)) == (415, ProposalState.PROPOSED)


async def test_a_body_that_does_not_come_holds_no_connection(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PATIENCE", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", doors.server.port)
    writer.write(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoken")
    answer = (await reader.read()).decode()
    writer.close()

    assert answer.startswith("HTTP/1.1 408")


async def test_a_body_that_is_no_json_is_told_so(doors: Doors) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    for body in (b"{", b"\xff", b"[" * 10_000):
        answer = await doors.client.post("/api/v1/drill", content=body, headers=headers)

        assert answer.status_code == 400


def test_without_a_token_not_even_the_empty_one_is_known() -> None:
    assert not Sessions(FakeClock()).knows("")

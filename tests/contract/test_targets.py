"""Targets against real servers on loopback: what goes over the wire, and what a failure is taken for."""

import asyncio
import io
import logging
import os
import threading
import traceback
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.leaks import CANARY, Heard
from tests.receivers import PATIENCE, HttpReceiver, MailReceiver, Reply, free_port, http_receiver, mail_receiver
from tests.samples import CANCELLED, COMPLETED, DIVERGENCE, HOSTILE, RESOLVED
from watcher.notify.plugins import load, trust_configured_authorities
from watcher.notify.receivers import build_receivers
from watcher.notify.targets import LaneTarget
from watcher.service.errors import DeliveryError, FailureReason
from watcher.service.ports import Receivers

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
DISCORD = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
TELEGRAM = "tgram://123456789:abcdefg_hijklmnop/12315544/"
LAST_LINE = f"id: {DIVERGENCE.key}"


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def mail() -> Iterator[MailReceiver]:
    with mail_receiver() as receiver:
        yield receiver


@pytest.fixture
def services(http: HttpReceiver, monkeypatch: pytest.MonkeyPatch) -> HttpReceiver:
    """The services that have no host in their address, moved to loopback."""
    load()
    from apprise.plugins.discord import NotifyDiscord  # noqa: PLC0415 - slow to import
    from apprise.plugins.slack import NotifySlack  # noqa: PLC0415
    from apprise.plugins.telegram import NotifyTelegram  # noqa: PLC0415

    monkeypatch.setattr(NotifySlack, "webhook_url", f"http://{http.place}/services")
    monkeypatch.setattr(NotifyDiscord, "notify_url", f"http://{http.place}/webhooks")
    monkeypatch.setattr(NotifyTelegram, "notify_url", f"http://{http.place}/bot")
    return http


def target_for(url: str) -> LaneTarget:
    (target,) = build_receivers({"team": [url]}, key=b"key", console=Heard()).targets("team")
    return target


async def failure_of(target: LaneTarget) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await target.deliver(DIVERGENCE)
    return caught.value


async def arrived(receiver: HttpReceiver) -> None:
    assert await asyncio.to_thread(receiver.arrived.wait, PATIENCE)


# What goes over the wire


async def test_json_gets_text_with_the_key_as_the_last_line(http: HttpReceiver) -> None:
    await target_for(f"json://{http.place}/hook").deliver(DIVERGENCE)

    (request,) = http.requests
    assert request.path == "/hook"
    assert request.json["title"] == f"[critical] {DIVERGENCE.title}"
    assert request.json["type"] == "failure"
    assert request.json["message"].splitlines()[0] == DIVERGENCE.what
    assert request.json["message"].splitlines()[-1] == LAST_LINE


async def test_form_gets_the_same(http: HttpReceiver) -> None:
    await target_for(f"form://{http.place}/hook").deliver(RESOLVED)

    (request,) = http.requests
    assert request.form["title"] == "Resolved: support_bot_v3: loss diverged"
    assert request.form["type"] == "success"
    assert request.form["message"].splitlines()[-1] == f"id: {RESOLVED.key}"


async def test_ntfy_gets_text(http: HttpReceiver) -> None:
    await target_for(f"ntfy://{http.place}/topic").deliver(COMPLETED)

    (request,) = http.requests
    assert request.json["topic"] == "topic"
    assert request.json["title"] == COMPLETED.title
    assert request.json["message"].splitlines()[-1] == f"id: {COMPLETED.key}"


async def test_slack_gets_its_own_markup(services: HttpReceiver) -> None:
    await target_for(SLACK).deliver(CANCELLED)

    (request,) = services.requests
    assert request.path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    shown = request.json["attachments"][0]["text"]
    assert shown.splitlines()[0] == "*Cancelled: support_bot_v3: loss diverged*"
    assert "- *since step:* 396" in shown
    assert "|Open the job>" in shown
    assert shown.splitlines()[-1] == f"id: {CANCELLED.key}"


async def test_discord_gets_markdown_within_its_limit(services: HttpReceiver) -> None:
    await target_for(DISCORD).deliver(replace(DIVERGENCE, what="x" * 5000, facts=(("y" * 50, "z" * 290),) * 20))

    (request,) = services.requests
    assert request.json["content"].startswith(r"**\[critical\] support_bot_v3: loss diverged**")
    assert request.json["content"].splitlines()[-1] == LAST_LINE
    assert len(request.json["content"]) <= 2000


async def test_telegram_gets_its_html(services: HttpReceiver) -> None:
    await target_for(TELEGRAM).deliver(DIVERGENCE)

    (request,) = services.requests
    assert request.json["parse_mode"] == "HTML"
    assert request.json["text"].splitlines()[-1] == LAST_LINE


async def test_mail_has_html_and_text_and_both_end_with_the_key(mail: MailReceiver) -> None:
    await target_for(f"mailto://{mail.place}?from=watcher@example.org&to=team@example.org").deliver(DIVERGENCE)

    (received,) = mail.mails
    plain, rich = received.get_body(("plain",)), received.get_body(("html",))
    assert plain is not None
    assert rich is not None
    assert received["Subject"] == f"[critical] {DIVERGENCE.title}"
    assert received["To"] == "team@example.org"
    assert plain.get_content().strip().splitlines()[-1].strip() == LAST_LINE
    assert "<td" in rich.get_content()
    assert f"{LAST_LINE}</p>" in rich.get_content()


async def test_hostile_text_is_nowhere_markup(services: HttpReceiver, mail: MailReceiver) -> None:
    for url in (SLACK, DISCORD, TELEGRAM, f"mmost://{services.place}/abcdefgh1234"):
        await target_for(url).deliver(HOSTILE)
    await target_for(f"mailto://{mail.place}?from=watcher@example.org&to=team@example.org").deliver(HOSTILE)

    slack, discord, telegram, mattermost = services.requests
    slack_text = slack.json["attachments"][0]["text"]
    assert "<!channel>" not in slack_text
    assert "<@U123>" not in slack_text
    assert "<http://evil" not in slack_text
    assert "<" not in telegram.json["text"].replace("<b>", "").replace("</b>", "").replace("<a href", "").replace(
        "</a>", ""
    )
    for chat in (slack_text, discord.json["content"], mattermost.json["text"]):
        assert "@everyone" not in chat
        assert "http://evil" not in chat
    for markdown in (discord.json["content"], mattermost.json["text"]):
        assert r"\[click\]" in markdown
        assert r"\*bold\*" in markdown
    rich = mail.mails[0].get_body(("html",))
    assert rich is not None
    assert "<script>" not in rich.get_content()
    assert "\n" not in mail.mails[0]["Subject"]


async def test_the_format_in_the_address_wins(http: HttpReceiver) -> None:
    await target_for(f"json://{http.place}/?format=markdown").deliver(DIVERGENCE)

    assert "- **since step:** 396" in http.requests[0].json["message"]


async def test_delivered_again_it_has_the_same_last_line(http: HttpReceiver) -> None:
    http.replies.append(Reply(status=500))
    target = target_for(f"json://{http.place}/")
    await failure_of(target)
    await target.deliver(DIVERGENCE)

    assert [request.json["message"].splitlines()[-1] for request in http.requests] == [LAST_LINE, LAST_LINE]


# What a failure is taken for


@pytest.mark.parametrize(
    ("status", "reason", "permanent"),
    [
        pytest.param(301, FailureReason.CLIENT, True, id="moved for good"),
        pytest.param(302, FailureReason.CLIENT, False, id="moved for now"),
        pytest.param(400, FailureReason.CLIENT, True, id="a request it will never take"),
        pytest.param(401, FailureReason.AUTH, True, id="a wrong token"),
        pytest.param(403, FailureReason.FORBIDDEN, True, id="a token without the right"),
        pytest.param(404, FailureReason.NOT_FOUND, True, id="an unknown hook"),
        pytest.param(410, FailureReason.NOT_FOUND, True, id="a hook that was removed"),
        pytest.param(429, FailureReason.RATE_LIMITED, False, id="too many"),
        pytest.param(500, FailureReason.SERVER, False, id="a broken server"),
        pytest.param(503, FailureReason.SERVER, False, id="a server that is down"),
    ],
)
async def test_a_refusal_is_classified_by_its_status(
    http: HttpReceiver, status: int, reason: FailureReason, *, permanent: bool
) -> None:
    http.otherwise = Reply(status=status, headers={"Location": f"http://{http.place}/elsewhere"})
    error = await failure_of(target_for(f"json://{http.place}/"))

    assert (error.reason, error.permanent, str(error)) == (reason, permanent, f"json: answered {status}")
    assert len(http.requests) == 1


async def test_a_rate_limit_says_when_to_come_back(http: HttpReceiver) -> None:
    http.replies.append(Reply(status=429, headers={"Retry-After": "17"}))
    error = await failure_of(target_for(f"json://{http.place}/"))

    assert error.retry_after == 17


async def test_discord_does_not_sleep_in_its_lane(services: HttpReceiver) -> None:
    services.otherwise = Reply(
        status=429, headers={"Retry-After": "600", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "4102444800"}
    )
    error = await failure_of(target_for(DISCORD))

    assert (error.reason, error.retry_after) == (FailureReason.RATE_LIMITED, 600)


async def test_a_dead_port_is_a_network_failure() -> None:
    error = await failure_of(target_for(f"json://127.0.0.1:{free_port()}/"))

    assert (error.reason, error.permanent) == (FailureReason.NETWORK, False)


async def test_a_dropped_connection_is_a_network_failure(http: HttpReceiver) -> None:
    http.replies.append(Reply(drop=True))
    error = await failure_of(target_for(f"json://{http.place}/"))

    assert (error.reason, error.permanent) == (FailureReason.NETWORK, False)


async def test_no_answer_in_time_is_a_timeout(http: HttpReceiver) -> None:
    release = threading.Event()
    http.replies.append(Reply(hold=release))
    error = await failure_of(target_for(f"json://{http.place}/?rto=0.1"))
    release.set()

    assert (error.reason, error.permanent) == (FailureReason.TIMEOUT, False)


@pytest.mark.parametrize(
    ("answers", "login", "reason", "permanent"),
    [
        pytest.param({"RCPT": "550 no such box"}, "", FailureReason.NOT_FOUND, True, id="an unknown recipient"),
        pytest.param({"RCPT": "451 greylisted"}, "", FailureReason.SERVER, False, id="a recipient to try later"),
        pytest.param({"DATA": "554 spam"}, "", FailureReason.CLIENT, True, id="a mail it will never take"),
        pytest.param({"DATA": "421 too many"}, "", FailureReason.RATE_LIMITED, False, id="too many"),
        pytest.param({}, "who:wrong@", FailureReason.AUTH, True, id="a wrong password"),
    ],
)
async def test_mail_refusals_are_classified_by_their_code(
    mail: MailReceiver, answers: dict[str, str], login: str, reason: FailureReason, *, permanent: bool
) -> None:
    mail.answers = answers
    error = await failure_of(
        target_for(f"mailto://{login}{mail.place}?from=watcher@example.org&to=team@example.org&mode=insecure")
    )

    assert (error.reason, error.permanent) == (reason, permanent)
    assert mail.mails == []


async def test_mail_to_a_dead_port_is_a_network_failure() -> None:
    error = await failure_of(target_for(f"mailto://127.0.0.1:{free_port()}?from=watcher@example.org&to=a@example.org"))

    assert (error.reason, error.permanent) == (FailureReason.NETWORK, False)


async def test_two_mails_in_a_row_do_not_wait_for_each_other(mail: MailReceiver) -> None:
    target = target_for(f"mailto://{mail.place}?from=watcher@example.org&to=team@example.org")
    async with asyncio.timeout(4):
        await target.deliver(DIVERGENCE)
        await target.deliver(RESOLVED)

    assert len(mail.mails) == 2


# Lanes


async def test_a_slow_target_delays_nobody_else_and_keeps_its_order(http: HttpReceiver) -> None:
    release = threading.Event()
    http.replies.append(Reply(hold=release))
    with http_receiver() as other:
        slow = target_for(f"json://{http.place}/?rto={PATIENCE}")
        first = asyncio.create_task(slow.deliver(DIVERGENCE))
        await arrived(http)
        second = asyncio.create_task(slow.deliver(RESOLVED))
        for _ in range(3):
            await target_for(f"json://{other.place}/").deliver(DIVERGENCE)

        assert len(other.requests) == 3
        assert (len(http.requests), first.done(), second.done()) == (1, False, False)

        release.set()
        await asyncio.gather(first, second)

    keys = [request.json["message"].splitlines()[-1] for request in http.requests]
    assert keys == [LAST_LINE, f"id: {RESOLVED.key}"]


async def test_a_cancelled_delivery_still_ends_before_the_next_begins(http: HttpReceiver) -> None:
    release = threading.Event()
    http.replies.append(Reply(hold=release))
    target = target_for(f"json://{http.place}/?rto={PATIENCE}")
    task = asyncio.create_task(target.deliver(DIVERGENCE))
    await arrived(http)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    following = asyncio.create_task(target.deliver(RESOLVED))
    release.set()
    await following

    assert len(http.requests) == 2


async def test_a_closed_target_sends_nothing(http: HttpReceiver) -> None:
    receivers = build_receivers({"team": [f"json://{http.place}/"]}, key=b"key", console=Heard())
    receivers.close()
    error = await failure_of(receivers.targets("team")[0])

    assert (error.permanent, http.requests) == (False, [])


async def test_receivers_that_name_one_address_share_its_lane(http: HttpReceiver) -> None:
    url = f"json://{http.place}/"
    receivers = build_receivers({"a": [url, f" {url} "], "b": [url]}, key=b"key", console=Heard())
    (of_a,), (of_b,) = receivers.targets("a"), receivers.targets("b")

    assert of_a.id == of_b.id
    assert (of_a.receiver, of_b.receiver) == ("a", "b")
    assert receivers.target(of_a.id) is not None
    assert receivers.target("0" * 16) is None
    assert receivers.targets("nobody") == ()


def test_the_receivers_are_what_the_services_ask_for() -> None:
    receivers: Receivers = build_receivers({"team": ["console://"]}, key=b"key", console=Heard())

    assert receivers.names() == ("team",)


async def test_target_ids_say_nothing_and_depend_on_the_key(http: HttpReceiver) -> None:
    config = {"team": [f"json://{http.place}/"]}
    ids = [build_receivers(config, key=key, console=Heard()).targets("team")[0].id for key in (b"a", b"a", b"b")]

    assert ids[0] == ids[1] != ids[2]
    assert all(len(target_id) == 16 and int(target_id, 16) for target_id in ids)


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        pytest.param({}, "/ours.pem", id="as configured"),
        pytest.param({"REQUESTS_CA_BUNDLE": "/theirs.pem"}, "/theirs.pem", id="the more special one wins"),
    ],
)
def test_certificate_authorities_of_the_environment_are_used(
    monkeypatch: pytest.MonkeyPatch, present: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr(os, "environ", {"SSL_CERT_FILE": "/ours.pem", **present})
    trust_configured_authorities()

    assert os.environ["REQUESTS_CA_BUNDLE"] == expected


# Secrets


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(status=404), id="refused"),
        pytest.param(Reply(status=500, body=f"{CANARY} answer".encode()), id="failed"),
        pytest.param(Reply(drop=True), id="dropped"),
        pytest.param(Reply(), id="taken"),
    ],
)
async def test_no_word_of_an_address_or_message_shows_anywhere(
    http: HttpReceiver, reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.NOTSET)
    http.otherwise = reply
    target = target_for(
        f"json://{CANARY}user:{CANARY}pass@{http.place}/{CANARY}path?+Authorization={CANARY}header&:apikey=PLANTEDkey"
    )
    told = [repr(target), target.id, target.scheme]
    message = replace(DIVERGENCE, what="PLANTED body")
    try:
        await target.deliver(message)
    except DeliveryError as exc:
        told += [str(exc), repr(exc), repr(exc.__context__), *traceback.format_exception(exc)]

    assert http.requests[0].path.startswith(f"/{CANARY}path")
    shown = "".join(told) + caplog.text
    assert [word for word in (CANARY, "PLANTED") if word in shown] == []


# The console


async def test_the_console_shows_a_block_and_is_no_proof_that_anybody_was_told() -> None:
    stream = Heard()
    receivers = build_receivers({"default": ["console://"]}, key=b"key", console=stream)
    (target,) = receivers.targets("default")
    await target.deliver(DIVERGENCE)

    lines = stream.getvalue().splitlines()
    assert lines[0] == f"10:04:05 [critical] {DIVERGENCE.title}"
    assert lines[-2:] == [LAST_LINE, ""]
    assert not target.counts
    assert target.scheme == "console"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def test_a_terminal_shows_the_title_in_colour_and_no_escape_of_the_message() -> None:
    stream = Terminal()
    (target,) = build_receivers({"default": ["console://"]}, key=b"key", console=stream).targets("default")
    await target.deliver(HOSTILE)

    assert stream.getvalue().startswith("\x1b[1;31m10:04:05 ")
    assert stream.getvalue().count("\x1b") == 2


async def test_a_terminal_without_unicode_gets_replacements() -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as stream:
        (target,) = build_receivers({"default": ["console://"]}, key=b"key", console=stream).targets("default")
        await target.deliver(DIVERGENCE)

        assert b"recent loss: ?????????" in raw.getvalue()


class Broken(io.StringIO):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def flush(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        pytest.param(BrokenPipeError(), True, id="a pipe whose reader went away"),
        pytest.param(ValueError("I/O operation on closed file"), True, id="a closed stream"),
        pytest.param(OSError(28, "No space left on device"), False, id="a full disk"),
    ],
)
async def test_a_console_that_cannot_be_written_is_a_failed_delivery(error: Exception, *, permanent: bool) -> None:
    (target,) = build_receivers({"default": ["console://"]}, key=b"key", console=Broken(error)).targets("default")
    failure = await failure_of(target)

    assert failure.permanent == permanent

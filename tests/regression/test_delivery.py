"""Failure modes of other watchers that touch delivery, one test each."""

import logging
import subprocess
import sys

import pytest

from tests.leaks import CANARY, Heard
from tests.receivers import Reply, http_receiver
from tests.samples import DIVERGENCE, HOSTILE
from watcher.notify.receivers import build_receivers
from watcher.service.errors import ConfigError, DeliveryError, FailureReason


async def test_03_success_is_not_judged_by_words_in_a_log_or_a_body() -> None:
    with http_receiver() as http:
        (target,) = build_receivers({"a": [f"json://{http.place}/"]}, key=b"k", console=Heard()).targets("a")
        http.replies.append(Reply(status=500, body=b'{"status": "success", "message": "Sent JSON notification."}'))
        with pytest.raises(DeliveryError):
            await target.deliver(DIVERGENCE)
        http.replies.append(Reply(status=200, body=b"ERROR: failed"))
        await target.deliver(DIVERGENCE)


async def test_03_a_redirect_to_a_friendly_page_is_no_success() -> None:
    with http_receiver() as http:
        (target,) = build_receivers({"a": [f"json://{http.place}/"]}, key=b"k", console=Heard()).targets("a")
        http.replies.append(Reply(status=301, headers={"Location": f"http://{http.place}/welcome"}))
        with pytest.raises(DeliveryError) as caught:
            await target.deliver(DIVERGENCE)

        assert caught.value.reason is FailureReason.CLIENT
        assert [request.method for request in http.requests] == ["POST"]


async def test_15_watched_text_does_not_become_markup_where_plain_text_is_read_as_markdown() -> None:
    with http_receiver() as http:
        url = f"mmost://{http.place}/abcdefgh1234"
        (target,) = build_receivers({"a": [url]}, key=b"k", console=Heard()).targets("a")
        await target.deliver(HOSTILE)

        shown = http.requests[0].json["text"]
        assert r"\[click\]" in shown
        assert "@everyone" not in shown


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param(f"slack://T1JJ3T3L2/A1BRTD4JD/{CANARY}!", "Invalid|invalid", id="a malformed token"),
        pytest.param(f"nosuch://{CANARY}", "unknown", id="a service that does not exist"),
        pytest.param(f"https://planted.example/{CANARY}", "unknown", id="a plain web address"),
        pytest.param(CANARY, "not an address", id="no address at all"),
        pytest.param("json://", "lacks a part", id="no host"),
    ],
)
def test_16_a_bad_address_is_an_error_of_the_configuration(
    url: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.NOTSET)
    with pytest.raises(ConfigError, match=rf"receivers\.ops\[1\]: .*({reason})") as caught:
        build_receivers({"ops": ["console://", url]}, key=b"k", console=Heard())

    assert CANARY not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None or CANARY not in repr(caught.value.__cause__)


def test_16_a_route_to_a_receiver_that_does_not_exist_is_an_error_of_the_configuration() -> None:
    receivers = build_receivers({"ops": ["console://"]}, key=b"k", console=Heard())
    receivers.require(["ops"])
    with pytest.raises(ConfigError, match="receiver 'oops' is not defined; expected one of: ops"):
        receivers.require(["ops", "oops"])


def test_16_a_receiver_without_addresses_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"receivers\.ops: has no addresses"):
        build_receivers({"ops": []}, key=b"k", console=Heard())


def test_the_console_alone_does_not_load_apprise() -> None:
    code = (
        "import sys\n"
        "from watcher.notify.receivers import build_receivers\n"
        "build_receivers({'default': ['console://']}, key=b'k', console=sys.stdout)\n"
        "sys.exit('apprise' in sys.modules or 'requests' in sys.modules)\n"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0  # noqa: S603


def test_a_hanging_send_does_not_keep_the_process() -> None:
    code = (
        "import asyncio, threading\n"
        "from watcher.notify.lane import Lane\n"
        "async def main():\n"
        "    begun = threading.Event()\n"
        "    task = asyncio.create_task(Lane('x').run(lambda: (begun.set(), threading.Event().wait())))\n"
        "    await asyncio.to_thread(begun.wait)\n"
        "    task.cancel()\n"
        "asyncio.run(main())\n"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0  # noqa: S603

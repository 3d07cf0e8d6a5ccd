"""Places that take messages: one Apprise address, or the console."""

from collections.abc import Callable
from typing import Any, TextIO

from watcher.domain.messages import Message
from watcher.domain.verdicts import Severity
from watcher.notify import plugins
from watcher.notify.answers import failure, recorded
from watcher.notify.formats import parts, text
from watcher.notify.lane import Lane
from watcher.service.errors import DeliveryError, FailureReason

_COLOURS = {Severity.INFO: "36", Severity.WARNING: "33", Severity.CRITICAL: "31"}
_GREEN = "32"
_MAY_BE_THE_PICTURE = frozenset({FailureReason.CLIENT, FailureReason.FORBIDDEN})
"""Refusals for good that may mean the file (too large, uploads not allowed): the words are tried without it."""

Send = Callable[[Message, bytes | None], DeliveryError | None]
"""A blocking send of a message and its picture.

It returns its failure, so that no library's exception, which may quote an address, is chained.
"""


class LaneTarget:
    """A target whose sends are blocking calls on one lane.

    `deliver` waits for the send without a time limit of its own; the plug-in's socket timeouts end it. A cancelled
    `deliver` does not stop the send, so its outcome is unknown and its row must stay claimed: after a restart it goes
    out again under the same key. Receivers that name the same address share its lane.
    """

    def __init__(
        self, *, target_id: str, receiver: str, scheme: str, counts: bool, pictures: bool, lane: Lane, send: Send
    ) -> None:
        self.id = target_id
        self.receiver = receiver
        self.scheme = scheme
        self.counts = counts
        self.takes_pictures = pictures
        self._lane = lane
        self._send = send

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.scheme} {self.id} of {self.receiver}>"

    async def deliver(self, message: Message, picture: bytes | None = None) -> None:
        """Returns when the service took it.

        Raises:
            DeliveryError: it did not, or the target was closed before.
        """
        error = await self._lane.run(lambda: self._send(message, picture))
        if error is not None:
            raise error

    def close(self) -> None:
        """Begins no further send; one under way ends by itself."""
        self._lane.close()


class PluginSender:
    """Sends through one Apprise plug-in, whose return value alone says whether the message was taken."""

    def __init__(self, url: str) -> None:
        """Loads Apprise.

        Raises:
            ConfigError: the address is none that Apprise knows.
        """
        self._plugin = plugins.plugin_for(url)
        self.scheme = plugins.service_of(self._plugin, url)
        self._style = plugins.style_of(self._plugin, self.scheme)

    @property
    def takes_pictures(self) -> bool:
        """Whether the service takes files; one that shows nothing of them gets a line of block characters."""
        return plugins.takes_pictures(self._plugin, self.scheme)

    def __call__(self, message: Message, picture: bytes | None) -> DeliveryError | None:
        error = self._send(message, picture)
        if error is None or picture is None or not error.permanent or error.reason not in _MAY_BE_THE_PICTURE:
            return error
        return self._send(message, None)

    def _send(self, message: Message, picture: bytes | None) -> DeliveryError | None:
        with plugins.offering_veto(self._plugin, self.scheme, message), recorded() as answers:
            try:
                taken = self._plugin.notify(**self._arguments(message, picture))
            except Exception as exc:  # noqa: BLE001 - a plug-in may raise anything, and its text may hold the address
                return DeliveryError(FailureReason.CLIENT, f"{self.scheme}: the plug-in raised {type(exc).__name__}")
        return None if taken else failure(self.scheme, answers)

    def _arguments(self, message: Message, picture: bytes | None) -> dict[str, Any]:
        attached = {} if picture is None else {"attach": plugins.attachment(picture)}
        return {
            "body": plugins.body_of(self._style, message, picture=picture is not None),
            "title": "" if self._style.heading else parts.title(message),
            "notify_type": _notify_type(message),
            "body_format": self._style.body_format,
            # A service that takes less than our shortest text gets it in pieces rather than without the last line.
            "overflow": "split",
            **attached,
        }


def _notify_type(message: Message) -> str:
    if message.reason in parts.GOOD_NEWS:
        return "success"
    return {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}[message.severity]


class ConsoleSender:
    """Writes messages as blocks of text to a stream, with a coloured title when a person looks."""

    scheme = "console"
    takes_pictures = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, message: Message, picture: bytes | None) -> DeliveryError | None:  # noqa: ARG002 - takes none
        try:
            self._stream.write(self._encodable(f"{self._block(message)}\n\n"))
            self._stream.flush()
        except (BrokenPipeError, ValueError):  # ValueError: the stream was closed
            return DeliveryError(FailureReason.NETWORK, "console: closed", permanent=True)
        except OSError:
            return DeliveryError(FailureReason.NETWORK, "console: can't be written")
        return None

    def _block(self, message: Message) -> str:
        title = f"{message.at:%H:%M:%S} {parts.title(message)}"
        if self._stream.isatty():
            good = message.reason in parts.GOOD_NEWS
            title = f"\x1b[1;{_GREEN if good else _COLOURS[message.severity]}m{title}\x1b[0m"
        return f"{title}\n{text.render(message)}"

    def _encodable(self, block: str) -> str:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        return block.encode(encoding, "replace").decode(encoding)

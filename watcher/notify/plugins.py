"""Apprise plug-ins: loaded only when an address needs one, made quiet, and read for how they want a message."""

import contextlib
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from watcher.domain.messages import Message
from watcher.notify import answers
from watcher.notify.formats import html, markdown, text
from watcher.notify.formats.parts import BODY_LIMIT
from watcher.notify.redact import redact, url_words
from watcher.service.errors import ConfigError

TALKATIVE = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib")
"""Loggers that write addresses, tokens and bodies, some of them as warnings."""

PICTURE = "curve.png"
"""The name of the attached file, and in HTML mail its content id."""

_SILENT = logging.CRITICAL + 1
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.IGNORECASE)
_MARKUP_ANYWAY = frozenset(
    {"mmost", "mmosts", "zulip", "guilded", "nctalk", "nctalks", "revolt", "ryver", "fluxer", "fluxers"}
)
"""Services that read Markdown in what Apprise calls plain text."""
_TITLE_IS_MARKUP = frozenset(
    {"slack", "discord", "guilded", "nctalk", "nctalks", "revolt", "ryver", "fluxer", "fluxers"}
    | {"workflow", "workflows"}
)
"""Services where the title, at least in one of their modes, goes into the text and is read as markup."""


_BUTTONS = frozenset({"ntfy", "ntfys"})


def silence_loggers() -> None:
    """Nothing from Apprise and the libraries under it reaches a log; failures are told by DeliveryError."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(_SILENT)


def load() -> Any:  # noqa: ANN401 - Apprise's module
    """Apprise, about a second the first time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its plug-ins import modules that Python has deprecated
        import apprise  # noqa: PLC0415 - only who needs it pays for it
        from apprise.manager_plugins import NotificationManager  # noqa: PLC0415

        NotificationManager().load_modules()  # type: ignore[no-untyped-call]
    silence_loggers()
    trust_configured_authorities()
    answers.install()
    return apprise


def trust_configured_authorities() -> None:
    """SSL_CERT_FILE works here too: requests, under Apprise, reads another name for the same thing."""
    authorities = os.environ.get("SSL_CERT_FILE")
    if authorities:
        os.environ.setdefault("REQUESTS_CA_BUNDLE", authorities)


def scheme_of(url: str) -> str:
    """The kind of service, safe to show; empty when there is none."""
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator and _SCHEME.fullmatch(scheme) else ""


def service_of(plugin: Any, url: str) -> str:  # noqa: ANN401 - a NotifyBase
    """The kind of service in Apprise's word, also for an address of its own, such as https://hooks.slack.com/…."""
    scheme = scheme_of(url)
    if scheme not in {"http", "https"}:
        return scheme
    names = plugin.secure_protocol
    return str(names[0] if isinstance(names, tuple) else names)


def plugin_for(url: str) -> Any:  # noqa: ANN401 - a NotifyBase
    """The one plug-in of an address.

    Raises:
        ConfigError: why there is none, without any word of the address but its scheme.
    """
    apprise = load()
    # Redirects are off: a redirected POST becomes a GET, which answers 200 and delivers nothing.
    asset = apprise.AppriseAsset(
        app_id="watcher", app_desc="watcher", app_url="", image_url_mask="", image_url_logo="", http_redirects=False
    )
    try:
        plugin = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=False)
    except Exception as exc:  # noqa: BLE001 - plug-ins raise anything for an address they don't like
        reason = redact(str(exc), url_words(url)) or type(exc).__name__
    else:
        if plugin is not None and plugin.enabled:
            return _prepared(plugin)
        reason = "the service is unknown, needs a package that is not installed, or lacks a part of its address"
    # Outside of the handler, so that the plug-in's exception, which may quote the address, is not carried along.
    raise ConfigError(reason)


def _prepared(plugin: Any) -> Any:  # noqa: ANN401 - a NotifyBase
    # Some plug-ins sleep between two sends (mail 5.5 s), Discord's for as long as a header says. A lane is serial and
    # the outbox obeys Retry-After, so no thread has to sleep.
    plugin.throttle = lambda *_args, **_kwargs: None
    return plugin


@dataclass(frozen=True, slots=True)
class Style:
    """How one plug-in gets its messages."""

    render: Callable[..., str]
    body_format: str
    heading: bool
    limit: int
    inline: bool
    """Whether the text may show the attached picture in its place: HTML mail."""


def style_of(plugin: Any, scheme: str) -> Style:  # noqa: ANN401 - a NotifyBase
    """Markdown where a chat service takes it, HTML for mail, else text; `?format=` in the address wins."""
    chosen = _format(plugin, scheme)
    render, limit = {
        "html": (html.render, html.HTML_LIMIT),
        "markdown": (markdown.render, BODY_LIMIT),
    }.get(chosen, (text.render, BODY_LIMIT))
    untitled = plugin.title_maxlen <= 0
    inline = chosen == "html" and hasattr(plugin, "inline")
    if hasattr(plugin, "inline"):
        plugin.inline = inline  # in text, mail would name the picture below the line with the key
    return Style(
        render=render,
        body_format=chosen,
        heading=untitled or (chosen == "markdown" and scheme in _TITLE_IS_MARKUP),
        limit=min(limit, plugin.body_maxlen),
        inline=inline,
    )


def _format(plugin: Any, scheme: str) -> str:  # noqa: ANN401 - a NotifyBase
    taken = plugin.notify_format if isinstance(plugin.notify_format, tuple) else (plugin.notify_format,)
    names = [str(getattr(name, "value", name)) for name in taken]
    if names == ["text"] and scheme in _MARKUP_ANYWAY:
        plugin.notify_format = type(taken[0])("markdown")
    preferred = "markdown" if "markdown" in names and "html" not in names else names[0]
    resolved = plugin.resolve_format(preferred)
    return str(getattr(resolved, "value", resolved))


def body_of(style: Style, message: Message, *, picture: bool) -> str:
    """The message in the plug-in's own format, so that Apprise converts nothing."""
    shown = {"picture": PICTURE} if picture and style.inline else {}
    return style.render(message, limit=style.limit, heading=style.heading, **shown)


@contextlib.contextmanager
def offering_veto(plugin: Any, scheme: str, message: Message) -> Iterator[None]:  # noqa: ANN401 - a NotifyBase
    """Give a button to ntfy, which asks for the link itself; all others show the link in the text.

    The plug-in sends its field as the header X-Actions, in the short form of
    https://docs.ntfy.sh/publish/#action-buttons. Buttons that the address itself asks for come after ours. It is set
    for one message: a lane sends one at a time.
    """
    if scheme not in _BUTTONS or not message.veto:
        yield
        return
    own = plugin._NotifyNtfy__actions  # noqa: SLF001 - Apprise takes it from the address alone
    button = f"http, Veto, {message.veto}, method=POST, clear=true"
    plugin._NotifyNtfy__actions = f"{button}; {own}" if own else button  # noqa: SLF001 - as above
    try:
        yield
    finally:
        plugin._NotifyNtfy__actions = own  # noqa: SLF001 - as above


def takes_pictures(plugin: Any, scheme: str) -> bool:  # noqa: ANN401 - a NotifyBase
    """Whether files are attached, and not dropped in silence as by Slack's webhooks."""
    bot = scheme != "slack" or plugin.mode == "bot"
    return bool(plugin.attachment_support) and bot


def attachment(picture: bytes) -> Any:  # noqa: ANN401 - an AppriseAttachment
    """A PNG as Apprise takes it."""
    apprise = load()
    from apprise.attachment.memory import AttachMemory  # noqa: PLC0415 - see load

    return apprise.AppriseAttachment(AttachMemory(content=picture, name=PICTURE, mimetype="image/png"))  # type: ignore[no-untyped-call]

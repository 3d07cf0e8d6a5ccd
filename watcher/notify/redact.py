"""Takes secrets out of text: known words, and whatever an address may carry.

Apprise's own privacy mode is not enough: it shows the path, headers and parameters of `json://` and `form://`.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote

MASK = "***"
SHORTEST_SECRET = 4
_SHORTEST_TOKEN = 8

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<rest>[^\s\"'<>]+)", re.IGNORECASE)
_SEPARATORS = re.compile(r"[/:@?&=+#,;\s]+")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without any of the secrets (in any letter case) and without what addresses in it hide."""
    known = sorted({secret for secret in secrets if len(secret) >= SHORTEST_SECRET}, key=len, reverse=True)
    if known:
        text = re.sub("|".join(map(re.escape, known)), MASK, text, flags=re.IGNORECASE)
    return _URL.sub(lambda match: redact_url(match[0]), text)


def redact_url(url: str) -> str:
    """What may be shown of an address: scheme, host and path of a plain web page, only the scheme of anything else.

    In most Apprise addresses the host is a token (`slack://token/…`). In a web address, user, password, query and
    fragment go; so does the path when it has a part that looks like a token.
    """
    match = _URL.match(url)
    if match is None:
        return MASK
    scheme = match["scheme"].lower()
    if scheme not in {"http", "https"}:
        return f"{scheme}://{MASK}"
    place, *hidden = re.split(r"[?#]", match["rest"], maxsplit=1)
    host, slash, path = place.rpartition("@")[2].partition("/")
    if any(map(_like_a_token, path.split("/"))):
        path = MASK
    return f"{scheme}://{host}{slash}{path}" + (f"?{MASK}" if hidden else "")


def _like_a_token(part: str) -> bool:
    """Long, with letters and digits; not a job's id, which is no secret and which logs need."""
    mixed = any(map(str.isdigit, part)) and any(map(str.isalpha, part))
    return len(part) >= _SHORTEST_TOKEN and mixed and not part.startswith("ft-")


def url_words(url: str) -> frozenset[str]:
    """Every word of an address after its scheme, raw and decoded: to blank whatever somebody quotes from it."""
    rest = url.partition("://")[2]
    words = [word for word in _SEPARATORS.split(rest) if word]
    return frozenset(word for word in {*words, *map(unquote, words), rest} if len(word) >= SHORTEST_SECRET)


def url_secrets(url: str) -> frozenset[str]:
    """The words of an address that can be secrets: long enough to be one, and no name or number of a machine.

    Fewer than `url_words`, since they are blanked in all logs, where a topic called `watcher` must not take the
    word away.
    """
    authority = url.partition("://")[2].partition("/")[0]
    host = authority.partition("?")[0].rpartition("@")[2].partition(":")[0]
    named = {host} if "." in host else set()
    return frozenset(word for word in url_words(url) - named if len(word) >= _SHORTEST_TOKEN)

"""Links by which whoever got a proposal can veto it, without an account: each opens one proposal and no other.

The token is an HMAC-SHA256 (RFC 2104) of the proposal's id, so nothing of it is stored: whoever has the key can make
it again, and nobody else can. A link lives as long as its proposal is open; what comes later changes nothing.
"""

import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import quote

from watcher.domain.messages import Message

_PURPOSE = "veto"
"""What the key signs: a token for one thing is none for another."""


@dataclass(frozen=True, slots=True)
class VetoLinks:
    """Makes the links and knows its own. `base` is the address at which people reach the page, or empty: no links."""

    key: bytes
    base: str = ""

    def token(self, proposal_id: str) -> str:
        """64 hexadecimal digits."""
        return hmac.new(self.key, f"{_PURPOSE}\x1f{proposal_id}".encode(), hashlib.sha256).hexdigest()

    def fits(self, proposal_id: str, token: str) -> bool:
        """Whether the token is that of the proposal; takes as long whatever it is."""
        return hmac.compare_digest(self.token(proposal_id).encode(), token.encode("utf-8", "replace"))

    def of(self, message: Message) -> str:
        """The link for a message that announces a cancel; empty for every other, and where there is no address."""
        if not self.base or not message.proposal_id:
            return ""
        return f"{self.base}/veto/{quote(message.proposal_id, safe='')}?t={self.token(message.proposal_id)}"

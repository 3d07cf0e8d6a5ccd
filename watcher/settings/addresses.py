"""Addresses that no request of the watcher may go to, whoever wrote them into the configuration.

A request to the metadata service of a cloud host is how a configuration that came from elsewhere would fetch the
credentials of that host. Only what an address itself says is judged: a name that resolves to such an address is for the
network to refuse.
"""

import ipaddress
from urllib.parse import urlsplit

_NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})
_ADDRESSES = frozenset({"fd00:ec2::254", "100.100.100.200", "168.63.129.16"})
"""Those that are not link-local: Amazon's by IPv6, Alibaba's, Azure's."""
_WEB = frozenset({"http", "https", "json", "jsons", "xml", "xmls", "form", "forms", "apprise", "apprises"})
"""Schemes whose host is always one that is asked; with Apprise's others it may be a word or a number of the service."""


def forbidden(url: str) -> str | None:
    """The host of a URL when it is the metadata service of a cloud or link-local; None when it may be asked."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return None  # what is no address at all is told elsewhere
    if parts.scheme.lower() not in _WEB and not {".", ":"} & set(host):
        return None  # the id of a bot or of a room stands there, such as a number
    address = _address(host)
    if address is None:
        return host if host.rstrip(".").lower() in _NAMES else None
    return host if address.is_link_local or address.is_multicast or str(address) in _ADDRESSES else None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host spells, also as one number (`2852039166`) or in octal and hexadecimal parts."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return _spelt(host)
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


def _spelt(host: str) -> ipaddress.IPv4Address | None:
    """As `inet_aton` reads it: the last part fills what is left of the 32 bits."""
    parts = host.split(".")
    numbers = [_number(part) for part in parts]
    if not 1 <= len(parts) <= 4 or any(number is None for number in numbers):  # noqa: PLR2004 - bytes of an address
        return None
    *head, last = (number or 0 for number in numbers)
    room = 4 - len(head)
    if any(number > 255 for number in head) or last >= 256**room:  # noqa: PLR2004 - one byte
        return None
    value = int.from_bytes(bytes(head)) << (8 * room) if head else 0
    return ipaddress.IPv4Address(value + last)


def _number(text: str) -> int | None:
    base = 16 if text.lower().startswith("0x") else 8 if text.startswith("0") and len(text) > 1 else 10
    try:
        return int(text, base)
    except ValueError:
        return None

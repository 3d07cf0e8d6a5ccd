"""The errors that cross a boundary.

Adapters translate at their edge and chain the cause; messages hold no URL, key or body.

WatcherError
├── ConfigError           bad input: names file, key, value and what was expected; exit code 2, before any effect
├── ProviderError         a call to the API failed: `reason`, `retryable`, `retry_after`
├── DeliveryError         one target did not take a message: `reason`, `permanent`, `retry_after`
└── StoreError            the store could not do it
    ├── SchemaTooNewError a newer watcher wrote this database; exit code 4
    └── StateInUseError   another daemon holds the state directory; exit code 4
"""

from enum import StrEnum


class FailureReason(StrEnum):
    """Why a call to the outside failed: a closed set, also the label in metrics."""

    AUTH = "auth"  # 401: the key is missing, wrong or expired
    FORBIDDEN = "forbidden"  # 403: the key may not
    BILLING = "billing"  # 402: the account's spending limit or balance
    NOT_FOUND = "not_found"  # 404
    CONFLICT = "conflict"  # 409
    CLIENT = "client"  # another 4xx: our request is wrong
    RATE_LIMITED = "rate_limited"  # 429
    SERVER = "server"  # 5xx
    TIMEOUT = "timeout"
    NETWORK = "network"  # no connection, broken connection, DNS, TLS
    PAYLOAD = "payload"  # an answer that is not what was asked for (HTML, cut, too large)


class WatcherError(Exception):
    """Base of all errors that this program raises on purpose."""


class ConfigError(WatcherError):
    """Bad input; the message names file, key, value and what was expected."""


class ProviderError(WatcherError):
    """A call to the provider failed.

    `retryable` says that the same call may succeed later; `retry_after` is the server's wish in seconds;
    `maybe_done` is True when the server may have done what was asked (a timeout or broken answer to a POST).
    """

    def __init__(
        self,
        reason: FailureReason,
        message: str = "",
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        status: int | None = None,
        maybe_done: bool = False,
    ) -> None:
        super().__init__(message or reason.value)
        self.reason = reason
        self.retryable = retryable
        self.retry_after = retry_after
        self.status = status
        self.maybe_done = maybe_done


class DeliveryError(WatcherError):
    """One target did not take a message; a permanent failure (410, unknown channel) is not tried again by itself."""

    def __init__(
        self,
        reason: FailureReason,
        message: str = "",
        *,
        permanent: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message or reason.value)
        self.reason = reason
        self.permanent = permanent
        self.retry_after = retry_after


class StoreError(WatcherError):
    """The store could not read or write (full disk, locked, corrupt)."""


class SchemaTooNewError(StoreError):
    """The database was written by a newer version of this program."""


class StateInUseError(StoreError):
    """Another daemon holds the lock on the state directory."""

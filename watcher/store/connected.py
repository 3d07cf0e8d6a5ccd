"""Statements on one connection, with the driver's words for impossible values translated."""

from typing import Any

from sqlalchemy import Connection, Executable
from sqlalchemy.engine import CursorResult

from watcher.service.errors import StoreError


class Connected:
    """Somebody else begins and ends the transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _run(self, statement: Executable, parameters: Any = None) -> CursorResult[*tuple[Any, ...]]:  # noqa: ANN401 - one or many rows
        try:
            return self._connection.execute(statement, parameters)
        except (OverflowError, UnicodeEncodeError) as exc:
            # The driver's own words for a number above 64 bits or half a surrogate pair, which an API may send.
            raise StoreError(f"a value can't be stored: {exc}") from exc

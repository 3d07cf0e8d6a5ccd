"""Statements on one connection, with the driver's words for impossible values translated."""

from typing import Any

from sqlalchemy import Connection, Executable, Table, UpdateBase
from sqlalchemy.engine import CursorResult

from watcher.service.errors import StoreError
from watcher.service.records import Topic
from watcher.store.schema import TOPICS


class Connected:
    """Somebody else begins and ends the transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.topics = set[Topic]()
        """What was changed so far."""

    def _run(self, statement: Executable, parameters: Any = None) -> CursorResult[*tuple[Any, ...]]:  # noqa: ANN401 - one or many rows
        try:
            done = self._connection.execute(statement, parameters)
        except (OverflowError, UnicodeEncodeError) as exc:
            # The driver's own words for a number above 64 bits or half a surrogate pair, which an API may send.
            raise StoreError(f"a value can't be stored: {exc}") from exc
        if isinstance(statement, UpdateBase) and isinstance(statement.table, Table):
            topic = TOPICS.get(statement.table.name)
            # An insert that gives rows back does not count them.
            if topic is not None and (done.rowcount > 0 or statement.is_insert):
                self.topics.add(topic)
        return done

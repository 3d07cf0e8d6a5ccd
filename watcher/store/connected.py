"""Statements on one connection, with the driver's words for impossible values translated."""

import sqlite3
from collections.abc import Iterable
from typing import Any, cast

from sqlalchemy import CompoundSelect, Connection, Delete, Executable, Insert, Select, Table, UpdateBase
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import CursorResult

from watcher.service.errors import StoreError
from watcher.service.records import Topic
from watcher.store.schema import TOPICS

_DIALECT = sqlite.dialect(paramstyle="qmark")
_NAMED = sqlite.dialect(paramstyle="named")


def hot(table: Table, statement: Insert) -> tuple[str, str]:
    """A statement of every poll, compiled once for `_run_hot`: its table, and its SQL for tuples of all columns.

    A number that the database gives is no part of them. SQLAlchemy takes 10 us for each row that it hands to the
    driver, five times as long as SQLite takes to store it, and 60 us for a statement.
    """
    columns = [column.key for column in table.columns if column is not table.autoincrement_column]
    return table.name, sql_of(statement, columns)


def sql_of(statement: Insert | Select[Any], columns: list[str] | None = None) -> str:
    """A statement as the driver takes it, with its parameters in the order in which they stand there."""
    return str(statement.compile(dialect=_DIALECT, column_keys=columns))


class Ready:
    """A statement of every dozenth poll, compiled once for `_run_ready`, with the numbers that it brings itself.

    It takes one row, by the names of its parameters.
    """

    def __init__(self, statement: Insert | Delete | CompoundSelect[Any], columns: list[str] | None = None) -> None:
        compiled = statement.compile(dialect=_NAMED, column_keys=columns)
        self.sql = str(compiled)
        self.brings = {name: bind.value for bind, name in compiled.bind_names.items() if not bind.required}
        self.topic = None if isinstance(statement, CompoundSelect) else TOPICS.get(cast("Table", statement.table).name)


class _Storable:
    """`with STORABLE:` StoreError for a value that SQLite can't hold.

    A class, and no generator: every poll comes through here three times.
    """

    __slots__ = ()

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, *_: object) -> None:
        # The driver's own words for a number above 64 bits or half a surrogate pair, which an API may send.
        if isinstance(exc, OverflowError | UnicodeEncodeError):
            raise StoreError(f"a value can't be stored: {exc}") from exc


STORABLE = _Storable()


class Connected:
    """Somebody else begins and ends the transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw: sqlite3.Connection | None = None
        self.topics = set[Topic]()
        """What was changed so far."""

    def _run(self, statement: Executable, parameters: Any = None) -> CursorResult[*tuple[Any, ...]]:  # noqa: ANN401 - one or many rows
        with STORABLE:
            done = self._connection.execute(statement, parameters)
        if isinstance(statement, UpdateBase) and isinstance(statement.table, Table):
            topic = TOPICS.get(statement.table.name)
            # An insert that gives rows back does not count them.
            if topic is not None and (done.rowcount > 0 or statement.is_insert):
                self.topics.add(topic)
        return done

    def _run_hot(self, statement: tuple[str, str], rows: Iterable[tuple[Any, ...]]) -> None:
        """What `hot` compiled, for each of the rows, on the driver's own connection in the same transaction."""
        table, sql = statement
        with STORABLE:
            self._driver.executemany(sql, rows)
        if table in TOPICS:
            self.topics.add(TOPICS[table])

    def _run_ready(self, statement: Ready, parameters: dict[str, Any]) -> sqlite3.Cursor:
        """The same for one row of named parameters."""
        with STORABLE:
            done = self._driver.execute(statement.sql, statement.brings | parameters)
        if statement.topic is not None:
            self.topics.add(statement.topic)
        return done

    @property
    def _driver(self) -> sqlite3.Connection:
        if self._raw is None:
            self._raw = cast("sqlite3.Connection", self._connection.connection.driver_connection)
        return self._raw

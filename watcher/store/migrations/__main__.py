"""`python -m watcher.store.migrations FILE`: upgrades one database to the newest revision, whole or not at all."""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from watcher.service.errors import StoreError
from watcher.store.engine import make_engine, translated

SCRIPTS = Path(__file__).parent


def upgrade(path: Path, revision: str = "head") -> None:
    """Runs the missing revisions in one transaction.

    Raises:
        StoreError, alembic.util.CommandError: nothing was changed.
    """
    engine = make_engine(path, writes=True)
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    try:
        with translated(path), engine.connect() as connection:
            # Alembic alters a table by making another and dropping the first: to foreign keys that is a deletion.
            # They can't be switched off inside a transaction, hence below SQLAlchemy, which begins one.
            raw = connection.connection.driver_connection
            if raw is not None:
                raw.execute("PRAGMA foreign_keys = OFF")
            with connection.begin():
                config.attributes["connection"] = connection
                command.upgrade(config, revision)
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                if broken is not None:
                    raise StoreError(f"{path}: the upgrade left a row of {broken[0]} without its parent")
    finally:
        engine.dispose()


def main(arguments: list[str]) -> None:
    """Exits with one line on stderr when it fails."""
    try:
        upgrade(Path(arguments[0]))
    except (StoreError, CommandError) as exc:
        sys.exit(str(exc))


if __name__ == "__main__":
    main(sys.argv[1:])

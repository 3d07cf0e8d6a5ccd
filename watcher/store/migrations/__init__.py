"""Alembic's revisions of the schema. Only `__main__` and `env` import Alembic, and they run in a child process."""

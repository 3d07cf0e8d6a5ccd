"""The durable store: one schema, its migrations, and the SQLite adapter of the ports `Reads`, `Writes` and `Store`."""

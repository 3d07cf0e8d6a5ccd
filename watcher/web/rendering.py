"""The templates of pages that stand alone."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from watcher.web.show import shown


def environment() -> Environment:
    """Escapes everything that a template prints."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
    )

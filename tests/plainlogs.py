"""Logs as the program writes them for people, wherever a test did not set them up."""

import structlog


def plain_logs() -> None:
    """Tracebacks without all their variables: drawing those takes seconds where a whole scene is among them."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
    )

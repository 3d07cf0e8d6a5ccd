"""The real clock: the one place that asks the operating system for the time."""

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """The `Clock` of the running program."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """At once for zero and less."""
        await asyncio.sleep(max(seconds, 0.0))

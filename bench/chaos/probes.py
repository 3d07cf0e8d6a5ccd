"""`/readyz` asked all the time, and whether its answers were true; the pages now and then, for secrets."""

import http.client
import json
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.chaos.keeper import Life

EVERY = 0.05
PAGES = ("/", "/metrics", "/api/v1/jobs", "/api/v1/alerts", "/healthz")
_PAGES_EVERY = 2.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What `/readyz` said; status 0 when nobody listened or no answer came in time."""

    at: float
    status: int
    reasons: tuple[str, ...]


@dataclass(slots=True)
class Trouble:
    """A time in which the daemon can't work. It has to say so from `told_within` seconds after the beginning on.

    None: it may say so, and need not. `well_within` is how long after the end it has to be well again.
    """

    what: str
    began: float
    told_within: float | None
    well_within: float
    ended: float | None = None


class Prober:
    """Asks one port until it is closed."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.samples: list[Sample] = []
        self.pages: list[bytes] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._ask, self._read)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def last(self) -> Sample:
        return self.samples[-1] if self.samples else Sample(0.0, 0, ())

    def well_since(self, moment: float) -> float | None:
        """When it first said after that moment that it is well."""
        return next((s.at for s in list(self.samples) if s.at >= moment and s.status == 200), None)

    def _ask(self) -> None:
        while not self._over.wait(EVERY):
            began = time.monotonic()
            status, body = get(self.port, "/readyz")
            try:
                reasons = tuple(json.loads(body)["reasons"]) if status == 503 else ()
            except (ValueError, KeyError):
                reasons = (f"unreadable: {body[:100]!r}",)
            self.samples.append(Sample(began, status, reasons))

    def _read(self) -> None:
        while not self._over.wait(_PAGES_EVERY):
            self.pages += [body for page in PAGES if (body := get(self.port, page)[1])]


def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body; 0 and nothing when there is no answer within two seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2.0)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def lies(
    samples: Sequence[Sample], troubles: Sequence[Trouble], lives: Sequence[Life], *, start: float, slow: float
) -> list[str]:
    """Answers that were not true: well in the midst of a trouble, or unwell without one.

    A process that was just started is given `start` seconds to see everything for the first time. On a machine that is
    `slow` times too busy all spans are so much longer.
    """
    start *= slow
    found: dict[str, list[float]] = {}
    for sample in samples:
        if sample.status == 200 and (trouble := _untold(sample, troubles, slow)):
            found.setdefault(f"200 in spite of: {trouble.what}", []).append(sample.at - trouble.began)
        if sample.status == 503 and not _excused(sample, troubles, lives, start, slow):
            words = re.sub(r"\d+ s", "… s", "; ".join(sample.reasons))
            found.setdefault(f"503 for nothing: {words}", []).append(sample.at - samples[0].at)
    return [f"/readyz said {what} ({len(at)} times, {at[0]:.1f} to {at[-1]:.1f} s)" for what, at in found.items()]


def _untold(sample: Sample, troubles: Sequence[Trouble], slow: float) -> Trouble | None:
    for trouble in troubles:
        if trouble.told_within is None:
            continue
        if trouble.began + trouble.told_within * slow < sample.at < (trouble.ended or sample.at + 1):
            return trouble
    return None


def _excused(sample: Sample, troubles: Sequence[Trouble], lives: Sequence[Life], start: float, slow: float) -> bool:
    for trouble in troubles:
        if trouble.began <= sample.at and (
            trouble.ended is None or sample.at < trouble.ended + trouble.well_within * slow
        ):
            return True
    return any(life.began <= sample.at < life.began + start for life in lives)

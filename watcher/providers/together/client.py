"""The `Provider` port for one Together account: which endpoint answers what, and what its answer may look like."""

from collections.abc import Sequence
from urllib.parse import quote

from watcher.domain.holes import Torn
from watcher.domain.observations import Drift, Row, Snapshot
from watcher.providers.together import failures, mapping, wire
from watcher.providers.together.bodies import AnswerTooLargeError
from watcher.providers.together.connection import http_client
from watcher.providers.together.transport import Caller, Limits, headers_of, root_of
from watcher.service.errors import FailureReason, ProviderError
from watcher.service.known import NONE_KNOWN, KnownRows
from watcher.service.ports import Clock, NoTelemetry, Telemetry
from watcher.service.records import Checkpoint, Identity, JobDetail, Listing, Metrics

DEFAULT_BASE_URL = "https://api.together.ai/v1"


class TogetherProvider:
    """One account (a key sees one project) at Together.

    The key lives in the client's header and nowhere else; neither `repr` nor an error shows it.

    Args:
        account: the account's name in the configuration, for counters.
        api_key: sent as a Bearer token.
        clock: for pacing, waiting and the times of observations.
        base_url: with or without `/v1`.
        telemetry: told of each exchange.
        limits: pace, deadlines and sizes.

    Raises:
        ConfigError: key, base URL, certificates or proxies can't be used.
    """

    def __init__(
        self,
        *,
        account: str,
        api_key: str,
        clock: Clock,
        base_url: str = DEFAULT_BASE_URL,
        telemetry: Telemetry | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._account = account
        self._clock = clock
        self._limits = limits or Limits()
        self._root = root_of(base_url)
        http = http_client(
            headers_of(api_key),
            deadline=self._limits.timeout,
            concurrency=self._limits.concurrency,
            root=self._root,
        )
        self._caller = Caller(account, http, clock, telemetry or NoTelemetry(), self._limits)

    def __repr__(self) -> str:
        return f"TogetherProvider(account={self._account!r})"

    async def whoami(self) -> Identity:
        """Asks where the reference says, and where the newest SDK does when there is nothing."""
        try:
            body = await self._caller.get("whoami", f"{self._root}/v1/whoami")
        except ProviderError as exc:
            if exc.reason is not FailureReason.NOT_FOUND:
                raise
            body = await self._caller.get("whoami", f"{self._root}/v3/whoami")
        return mapping.identity(body)

    async def list_jobs(self) -> Listing:
        items = await self._items("list_jobs", f"{self._root}/v1/fine-tunes", "data")
        return mapping.listing(items, self._clock.now())

    async def get_job(self, job_id: str) -> JobDetail:
        """The job with its log: one GET. A log is never empty, so an empty one is asked for once more on its own."""
        body = await self._caller.get("get_job", self._job_url("get_job", job_id))
        found = mapping.detail(body, job_id, self._clock.now())
        if found is None:
            raise failures.of_payload("get_job", "the answer is not this job", effect=False)
        if found.events or found.bad:
            return found
        return await self._with_events(found)

    async def get_metrics(
        self,
        job_id: str,
        *,
        from_step: int = 0,
        last_step: int | None = None,
        known: KnownRows = NONE_KNOWN,
    ) -> Metrics:
        """Every row from a step on, never thinned by the server: a sample can leave out the one NaN.

        Full windows up to `last_step`, then one that is open at its end, so no newer row is missed. Without
        `last_step` the open one alone; when that is too large, windows until one is empty.
        """
        url = self._job_url("get_metrics", job_id, "metrics")
        gathered = _Gathered(known)
        start, size = max(from_step, 0), self._limits.window
        while last_step is not None and start + size <= last_step:
            await self._window(url, job_id, gathered, start, start + size - 1)
            start += size
        try:
            await self._window(url, job_id, gathered, start, None)
        except AnswerTooLargeError:
            while await self._window(url, job_id, gathered, start, start + size - 1):
                start += size
            await self._window(url, job_id, gathered, start, None)
        return gathered.metrics()

    async def get_checkpoints(self, job_id: str) -> tuple[Checkpoint, ...]:
        items = await self._items("get_checkpoints", self._job_url("get_checkpoints", job_id, "checkpoints"), "data")
        return mapping.checkpoints(items, job_id)

    async def cancel(self, job_id: str) -> Snapshot:
        body = await self._caller.effect("cancel", "POST", self._job_url("cancel", job_id, "cancel"))
        found = mapping.detail(body, job_id, self._clock.now())
        if found is None:
            raise failures.of_payload("cancel", "the answer is not this job", effect=True)
        return found.snapshot

    async def delete(self, job_id: str, *, force: bool = False) -> str:
        """One DELETE of ours; on a connection that dropped without a word aiohttp itself sends it once more."""
        url = self._job_url("delete", job_id)
        body = await self._caller.effect("delete", "DELETE", f"{url}?force=true" if force else url)
        return wire.text(body.get("message")) or ""

    async def aclose(self) -> None:
        await self._caller.aclose()

    async def _with_events(self, known: JobDetail) -> JobDetail:
        job_id = known.snapshot.job_id
        try:
            items = await self._items("get_events", self._job_url("get_events", job_id, "events"), "data")
        except ProviderError as exc:
            if exc.reason is not FailureReason.NOT_FOUND:
                raise
            return known
        return mapping.with_events(known, items, self._clock.now())

    async def _window(self, url: str, job_id: str, gathered: "_Gathered", first: int, last: int | None) -> int:
        """Adds the rows of one window; returns how many there were, both ends included."""
        asked = [f"global_step_from={first}"] if first else []
        if last is not None:
            asked.append(f"global_step_to={last}")
        items = await self._items("get_metrics", f"{url}?{'&'.join(asked)}" if asked else url, "metrics")
        gathered.add(mapping.metrics(items, job_id, self._clock.now(), gathered.known))
        return len(items)

    async def _items(self, call: str, url: str, key: str) -> Sequence[object]:
        """The array under a key; null or missing is empty, as the SDKs take it.

        Raises:
            ProviderError: there is something else under the key, or an error in a 2xx.
        """
        body = await self._caller.get(call, url)
        value = body.get(key)
        if value is None and not body.get("error"):
            return ()
        if not isinstance(value, list):
            raise failures.of_payload(call, f"the answer has no array {key}", effect=False)
        return value

    def _job_url(self, call: str, job_id: str, *more: str) -> str:
        """A job's address with its id encoded as one segment.

        Raises:
            ProviderError: the id would change the path (`..`), so no such job can exist.
        """
        if wire.job_id(job_id) is None:
            raise ProviderError(FailureReason.CLIENT, f"{call}: the id can't be a job's")
        return "/".join((f"{self._root}/v1/fine-tunes", quote(job_id, safe=""), *more))


class _Gathered:
    """The rows of several windows as one answer, each unknown key named once."""

    def __init__(self, known: KnownRows) -> None:
        self.known = known
        self._rows: list[Row] = []
        self._drift: dict[str, Drift] = {}
        self._torn: Torn | None = None
        self._repeated = 0

    def add(self, part: Metrics) -> None:
        self._torn = part.torn if self._torn is None else self._torn.then(part.torn)
        self._rows.extend(part.rows)
        self._repeated += part.repeated
        for drift in part.drift:
            self._drift.setdefault(drift.word, drift)

    def metrics(self) -> Metrics:
        drift = tuple(self._drift.values())
        return Metrics(rows=tuple(self._rows), drift=drift, torn=self._torn, repeated=self._repeated)

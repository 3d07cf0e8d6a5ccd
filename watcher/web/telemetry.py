"""What `/metrics` says: counters kept while the daemon works, and gauges read from the store at each scrape."""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from watcher import __version__
from watcher.domain.observations import Status
from watcher.service.ports import Clock, Reads
from watcher.service.records import AlertQuery

MOST_VALUES = 200
"""Values that one label may take before the rest are counted together: a series costs its reader memory for weeks."""

OTHER = "other"
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_MANY = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreGauges:
    """What the store holds at the moment of a scrape. `firing` counts alerts by (rule, severity), notices left out."""

    jobs: Mapping[str, int] = field(default_factory=dict)
    firing: Mapping[tuple[str, str], int] = field(default_factory=dict)
    outbox: Mapping[str, int] = field(default_factory=dict)
    oldest_due_seconds: float = 0.0


def read_gauges(reads: Reads, now: datetime) -> StoreGauges:
    """The gauges, in one consistent read. Jobs that are closed are not counted: they would only grow in number."""
    counts = reads.outbox_counts(now)
    firing = [alert for alert in reads.alerts(AlertQuery(firing_only=True, limit=_MANY)) if not alert.notice]
    oldest = counts.oldest_due_at
    return StoreGauges(
        jobs=Tally(record.snapshot.status.value for record in reads.jobs(open_only=True)),
        firing=Tally((alert.rule, alert.severity.value) for alert in firing),
        outbox={"due": counts.due, "waiting": counts.waiting, "claimed": counts.claimed, "dead": counts.dead},
        oldest_due_seconds=0.0 if oldest is None else max(0.0, (now - oldest).total_seconds()),
    )


class PrometheusTelemetry:
    """`Telemetry` as Prometheus counters in a registry of its own. May be called from any thread."""

    def __init__(self, clock: Clock) -> None:
        # A second series for each counter, with the time of its birth: nobody asks for it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._clock = clock
        self._labels = _Labels()
        self.registry = CollectorRegistry()
        self._declare()
        # Memory, CPU time and open files of the process; gives nothing where there is no /proc.
        ProcessCollector(registry=self.registry)
        build = Gauge("watcher_build_info", "Always 1.", ["version"], registry=self.registry)
        build.labels(__version__).set(1)

    def _declare(self) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"watcher_{name}", text, labels, registry=self.registry)

        def histogram(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(f"watcher_{name}", text, labels, registry=self.registry, buckets=_SECONDS)

        self._sweeps = counter("sweeps", "Passes over an account; `ok` saw it.", "account", "outcome")
        self._sweep_seconds = histogram("sweep_duration_seconds", "How long passes over an account took.")
        self._useful = Gauge(
            "watcher_last_successful_sweep_timestamp_seconds",
            "Unix time of the end of the last pass that saw the account.",
            ["account"],
            registry=self.registry,
        )
        self._requests = counter(
            "api_requests", "Calls to the provider, each try counted.", "account", "endpoint", "outcome"
        )
        self._request_seconds = histogram("api_request_duration_seconds", "How long those calls took.", "endpoint")
        self._rows = counter("rows", "New rows of metrics that were judged.")
        self._alerts = counter("alerts", "Transitions of alerts, by what is told.", "rule", "reason")
        self._notifications = counter("notifications", "Deliveries tried; `ok` was taken.", "receiver", "outcome")
        self._cancels = counter("cancels", "What became of cancels.", "outcome")
        self._saved_steps = counter("saved_steps", "Planned steps not run because the watcher cancelled.", "account")
        self._saved_dollars = counter(
            "saved_dollars", "What those steps would have cost: estimated, as if every step cost the same.", "account"
        )
        self._faults = counter("faults", "Faults of the watcher itself.", "kind")

    def api_request(self, account: str, endpoint: str, outcome: str, seconds: float) -> None:
        keep = self._labels.keep
        endpoint = keep("endpoint", endpoint)
        self._requests.labels(keep("account", account), endpoint, keep("outcome", outcome)).inc()
        self._request_seconds.labels(endpoint).observe(seconds)

    def sweep(self, account: str, reason: str | None, seconds: float, rows: int) -> None:
        account = self._labels.keep("account", account)
        self._sweeps.labels(account, self._labels.keep("outcome", reason or "ok")).inc()
        self._sweep_seconds.observe(seconds)
        self._rows.inc(rows)
        if reason is None:
            self._useful.labels(account).set(self._clock.now().timestamp())

    def alert(self, rule: str, reason: str) -> None:
        self._alerts.labels(self._labels.keep("rule", rule), self._labels.keep("reason", reason)).inc()

    def notification(self, receiver: str, outcome: str) -> None:
        receiver = self._labels.keep("receiver", receiver)
        self._notifications.labels(receiver, self._labels.keep("outcome", outcome)).inc()

    def cancel(self, outcome: str) -> None:
        self._cancels.labels(self._labels.keep("outcome", outcome)).inc()

    def saved(self, account: str, steps: int, dollars: float) -> None:
        account = self._labels.keep("account", account)
        self._saved_steps.labels(account).inc(steps)
        self._saved_dollars.labels(account).inc(dollars)

    def fault(self, kind: str) -> None:
        self._faults.labels(self._labels.keep("kind", kind)).inc()

    def exposition(self, gauges: StoreGauges | None) -> bytes:
        """The whole text of a scrape; None when the store could not be read, which is then said in its place."""
        return generate_latest(_Scrape(self.registry, gauges))


class _Labels:
    """Bounds the number of series, whatever words come: beyond `MOST_VALUES` a new value is counted as `other`."""

    def __init__(self) -> None:
        self._seen: dict[str, set[str]] = {}

    def keep(self, label: str, value: str) -> str:
        seen = self._seen.setdefault(label, set())
        if value in seen:
            return value
        if len(seen) >= MOST_VALUES:
            return OTHER
        seen.add(value)
        return value


class _Scrape(Collector):
    """One scrape: the counters, then the gauges of this moment, which belong to no registry."""

    def __init__(self, counters: CollectorRegistry, gauges: StoreGauges | None) -> None:
        self._counters, self._gauges = counters, gauges

    def collect(self) -> Iterable[Metric]:
        yield from self._counters.collect()
        up = 0.0 if self._gauges is None else 1.0
        yield GaugeMetricFamily("watcher_store_readable", "1 when the store could be read for this scrape.", value=up)
        if self._gauges is not None:
            yield from _families(self._gauges)


def _families(gauges: StoreGauges) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("watcher_jobs", "Watched jobs that are not closed, by status.", labels=["status"])
    for status in Status:
        jobs.add_metric([status.value], gauges.jobs.get(status.value, 0))
    yield jobs
    firing = GaugeMetricFamily("watcher_alerts_firing", "Alerts that fire now.", labels=["rule", "severity"])
    for (rule, severity), count in sorted(gauges.firing.items()):
        firing.add_metric([rule, severity], count)
    yield firing
    outbox = GaugeMetricFamily("watcher_outbox_rows", "Effects not performed yet, or parked (dead).", labels=["state"])
    for state, count in sorted(gauges.outbox.items()):
        outbox.add_metric([state], count)
    yield outbox
    text = "How long the oldest due effect has waited; 0 when none is due."
    yield GaugeMetricFamily("watcher_outbox_oldest_seconds", text, value=gauges.oldest_due_seconds)

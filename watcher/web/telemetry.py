"""What `/metrics` says: counters kept while the daemon works, and gauges read at each scrape."""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from watcher import __version__
from watcher.domain.observations import Status
from watcher.service.ports import Reads
from watcher.service.records import MANUAL, AlertQuery, ProposalState, Pulse
from watcher.web.families import FAMILIES, MOST_VALUES, OTHER, SECONDS
from watcher.web.throttle import Login

_MANY = 100_000
_OPEN = tuple(state for state in ProposalState if state.open)
W = TypeVar("W", bound=MetricWrapperBase)
Labelled = Mapping[tuple[str, ...], float]
"""The samples of a metric, by the values of its labels in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What is known without the store: how the sweeps of each account go, and whether the newest write went well."""

    pulses: Mapping[str, Pulse] = field(default_factory=dict)
    writes: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreGauges:
    """What the store holds at the moment of a scrape. `firing` counts alerts by (rule, severity), notices left out."""

    jobs: Mapping[str, int] = field(default_factory=dict)
    firing: Mapping[tuple[str, str], int] = field(default_factory=dict)
    proposals: Mapping[str, int] = field(default_factory=dict)
    outbox: Mapping[str, int] = field(default_factory=dict)
    oldest_due_seconds: float = 0.0


def read_gauges(reads: Reads, now: datetime) -> StoreGauges:
    """The gauges, in one consistent read. Jobs that are closed are not counted: they would only grow in number."""
    counts = reads.outbox_counts(now)
    firing = reads.alerts(AlertQuery(firing_only=True, notices=False, limit=_MANY))
    oldest = counts.oldest_due_at
    return StoreGauges(
        jobs=Tally(record.snapshot.status.value for record in reads.jobs(open_only=True)),
        firing=Tally((alert.rule, alert.severity.value) for alert in firing),
        proposals=Tally(p.state.value for p in reads.proposals(states=_OPEN) if p.mode != MANUAL),
        outbox={"due": counts.due, "waiting": counts.waiting, "claimed": counts.claimed, "dead": counts.dead},
        oldest_due_seconds=0.0 if oldest is None else max(0.0, (now - oldest).total_seconds()),
    )


class PrometheusTelemetry:
    """`Telemetry` as Prometheus counters in a registry of its own. May be called from any thread."""

    def __init__(self) -> None:
        # A second series for each counter, with the time of its birth: nobody asks for it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._labels = _Labels()
        self._asked: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}
        self.registry = CollectorRegistry()
        self._declare()
        # Memory, CPU time and open files of the process; gives nothing where there is no /proc.
        ProcessCollector(registry=self.registry)

    def _declare(self) -> None:
        def histogram(name: str) -> Histogram:
            family = FAMILIES[name]
            return Histogram(name, family.text, family.labels, registry=self.registry, buckets=SECONDS)

        self._sweeps = self._made(Counter, "watcher_sweeps_total")
        self._sweep_seconds = histogram("watcher_sweep_duration_seconds")
        self._requests = self._made(Counter, "watcher_api_requests_total")
        self._request_seconds = histogram("watcher_api_request_duration_seconds")
        self._rows = self._made(Counter, "watcher_rows_total")
        self._unreadable = self._made(Counter, "watcher_unreadable_total")
        self._rule_seconds = self._made(Counter, "watcher_rule_seconds_total")
        self._alerts = self._made(Counter, "watcher_alerts_total")
        self._notifications = self._made(Counter, "watcher_notifications_total")
        self._cancels = self._made(Counter, "watcher_cancels_total")
        self._saved_steps = self._made(Counter, "watcher_saved_steps_total")
        self._saved_dollars = self._made(Counter, "watcher_saved_dollars_total")
        self._faults = self._made(Counter, "watcher_faults_total")
        self._logins = self._made(Counter, "watcher_web_logins_total")
        for login in Login:  # from 0 on: Prometheus sees no increase in a series that begins with 1
            self._logins.labels(login.value)
        self._made(Gauge, "watcher_build_info").labels(__version__).set(1)

    def _made(self, kind: type[W], name: str) -> W:
        family = FAMILIES[name]
        return kind(name, family.text, family.labels, registry=self.registry)

    def api_request(self, account: str, endpoint: str, outcome: str, seconds: float) -> None:
        asked = (account, endpoint, outcome)
        series = self._asked.get(asked)
        if series is None:
            bounded = tuple(map(self._labels.keep, ("account", "endpoint", "outcome"), asked))
            series = self._requests.labels(*bounded), self._request_seconds.labels(bounded[1])
            if bounded == asked:  # finding a series takes longer than counting; what is not bounded is not kept
                self._asked[asked] = series
        series[0].inc()
        series[1].observe(seconds)

    def sweep(self, account: str, reason: str | None, seconds: float, rows: int) -> None:
        account = self._labels.keep("account", account)
        self._sweeps.labels(account, self._labels.keep("outcome", reason or "ok")).inc()
        self._sweep_seconds.observe(seconds)
        self._rows.inc(rows)

    def unreadable(self, account: str, what: str, count: int) -> None:
        self._unreadable.labels(self._labels.keep("account", account), self._labels.keep("what", what)).inc(count)

    def alert(self, rule: str, reason: str) -> None:
        self._alerts.labels(self._labels.keep("rule", rule), self._labels.keep("reason", reason)).inc()

    def rule(self, rule: str, seconds: float) -> None:
        self._rule_seconds.labels(self._labels.keep("rule", rule)).inc(seconds)

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

    def login(self, outcome: Login) -> None:
        self._logins.labels(outcome.value).inc()

    def exposition(self, vitals: Vitals, gauges: StoreGauges | None) -> bytes:
        """The whole text of a scrape; None when the store could not be read, which is then said in its place."""
        return generate_latest(_Scrape(self.registry, vitals, gauges))


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

    def __init__(self, counters: CollectorRegistry, vitals: Vitals, gauges: StoreGauges | None) -> None:
        self._counters, self._vitals, self._gauges = counters, vitals, gauges

    def collect(self) -> Iterable[Metric]:
        yield from self._counters.collect()
        yield from _of_vitals(self._vitals)
        yield _gauge("watcher_store_readable", {(): float(self._gauges is not None)})
        if self._gauges is not None:
            yield from _of_store(self._gauges)


def _of_vitals(vitals: Vitals) -> Iterator[Metric]:
    pulses = {(name,): pulse for name, pulse in sorted(vitals.pulses.items())}
    yield _gauge("watcher_sweep_interval_seconds", {k: p.interval.total_seconds() for k, p in pulses.items()})
    yield _gauge("watcher_last_sweep_timestamp_seconds", {k: p.swept_at.timestamp() for k, p in pulses.items()})
    useful: Labelled = {k: p.useful_at.timestamp() for k, p in pulses.items()}
    yield _gauge("watcher_last_successful_sweep_timestamp_seconds", useful)
    yield _gauge("watcher_store_writable", {(): float(vitals.writes)})


def _of_store(gauges: StoreGauges) -> Iterator[Metric]:
    yield _gauge("watcher_jobs", {(status.value,): gauges.jobs.get(status.value, 0) for status in Status})
    yield _gauge("watcher_alerts_firing", dict(sorted(gauges.firing.items())))
    yield _gauge("watcher_proposals", {(state.value,): gauges.proposals.get(state.value, 0) for state in _OPEN})
    yield _gauge("watcher_outbox_rows", {(state,): count for state, count in sorted(gauges.outbox.items())})
    yield _gauge("watcher_outbox_oldest_seconds", {(): gauges.oldest_due_seconds})


def _gauge(name: str, values: Labelled) -> Metric:
    """A gauge of this moment."""
    family = FAMILIES[name]
    metric = GaugeMetricFamily(name, family.text, labels=family.labels)
    for labels, value in values.items():
        metric.add_metric(labels, value)
    return metric

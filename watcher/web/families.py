"""Every metric that `/metrics` has, and every label: what the counters are made from, and what the reference lists."""

from dataclasses import dataclass
from enum import StrEnum

from watcher.service.errors import FailureReason

MOST_VALUES = 200
"""Values that one label may take before the rest are counted together: a series costs its reader memory for weeks."""
OTHER = "other"
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
"""Bounds of the histograms' buckets."""


class Kind(StrEnum):
    """The type that Prometheus is told."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. A counter's name ends in `_total`, as it is scraped."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()


_WHY_NOT = ", ".join(f"`{reason.value}`" for reason in FailureReason)
LABELS = {
    "account": "the account's name in the configuration",
    "outcome": f"`ok`, or why not: {_WHY_NOT} (of a call also `aborted`, when the program stopped). Of cancels, what "
    "became of one: `proposed`, `requested`, `post_failed`, `vetoed`, `withdrawn`, `confirmed`, `overtaken`, `failed`. "
    "Of logins `ok`, `wrong` (token), `slowed` (too many wrong ones from that address: not looked at)",
    "endpoint": "which call of the API: `list_jobs`, `get_job`, `get_metrics` and the like, never an address",
    "rule": "the rule's name in the configuration",
    "reason": "why an alert changed: `first`, `again`, `resolved`, `cancel_proposed` and the like",
    "severity": "`info`, `warning`, `critical`",
    "receiver": "the receiver's name in the configuration",
    "kind": "what is wrong with the watcher, as in the alert `watcher_fault`",
    "status": "the job's status; a word that this version does not know counts as `unrecognised`",
    "state": "of an effect `due`, `waiting`, `claimed` or `dead`; of a cancel `proposed` or `requested`",
    "what": "`jobs` of the list, `rows` of metrics or `events` of a job's log",
    "version": "the program's version",
}
"""What each label says. None names a job: the number of series follows the configuration, not the jobs."""

_ALL = (
    Family("watcher_sweeps_total", Kind.COUNTER, "Passes over an account; `ok` saw it.", ("account", "outcome")),
    Family("watcher_sweep_duration_seconds", Kind.HISTOGRAM, "How long passes over an account took."),
    Family(
        "watcher_api_requests_total",
        Kind.COUNTER,
        "Calls to the provider, each try counted.",
        ("account", "endpoint", "outcome"),
    ),
    Family("watcher_api_request_duration_seconds", Kind.HISTOGRAM, "How long those calls took.", ("endpoint",)),
    Family("watcher_rows_total", Kind.COUNTER, "New rows of metrics that were judged."),
    Family(
        "watcher_unreadable_total",
        Kind.COUNTER,
        "Entries of the API's answers that could not be made out, each time seen.",
        ("account", "what"),
    ),
    Family(
        "watcher_rule_seconds_total",
        Kind.COUNTER,
        "Time that a rule on jobs took to fold and judge what sweeps brought.",
        ("rule",),
    ),
    Family("watcher_alerts_total", Kind.COUNTER, "Transitions of alerts, by what is told.", ("rule", "reason")),
    Family(
        "watcher_notifications_total",
        Kind.COUNTER,
        "Deliveries tried; `ok` was taken by the service.",
        ("receiver", "outcome"),
    ),
    Family("watcher_cancels_total", Kind.COUNTER, "What became of automatic cancels.", ("outcome",)),
    Family(
        "watcher_saved_steps_total",
        Kind.COUNTER,
        "Planned steps not run because the watcher cancelled.",
        ("account",),
    ),
    Family(
        "watcher_saved_dollars_total",
        Kind.COUNTER,
        "What those steps would have cost: estimated, as if every step cost the same.",
        ("account",),
    ),
    Family("watcher_faults_total", Kind.COUNTER, "Faults of the watcher itself, each time seen.", ("kind",)),
    Family(
        "watcher_web_logins_total",
        Kind.COUNTER,
        "Logins to the page; a wrong token of a program counts as one, a right one does not.",
        ("outcome",),
    ),
    Family("watcher_build_info", Kind.GAUGE, "Always 1.", ("version",)),
    Family(
        "watcher_sweep_interval_seconds",
        Kind.GAUGE,
        "How often an account is to be swept, by the configuration.",
        ("account",),
    ),
    Family(
        "watcher_last_sweep_timestamp_seconds",
        Kind.GAUGE,
        "Unix time of the end of the last pass over an account, good or not; of the start before the first.",
        ("account",),
    ),
    Family(
        "watcher_last_successful_sweep_timestamp_seconds",
        Kind.GAUGE,
        "Unix time of the end of the last pass that saw the account; of the start before the first.",
        ("account",),
    ),
    Family("watcher_store_writable", Kind.GAUGE, "1 when the newest write to the store went well."),
    Family("watcher_store_readable", Kind.GAUGE, "1 when the store could be read for this scrape."),
    Family("watcher_jobs", Kind.GAUGE, "Watched jobs that are not closed, by status.", ("status",)),
    Family("watcher_alerts_firing", Kind.GAUGE, "Alerts that fire now, notices left out.", ("rule", "severity")),
    Family("watcher_proposals", Kind.GAUGE, "Automatic cancels that are not at their end.", ("state",)),
    Family("watcher_outbox_rows", Kind.GAUGE, "Effects not performed yet, or given up (`dead`).", ("state",)),
    Family(
        "watcher_outbox_oldest_seconds",
        Kind.GAUGE,
        "How long the oldest undelivered notification, or other due effect, has waited; 0 without any.",
    ),
)
FAMILIES = {family.name: family for family in _ALL}
"""By name."""

"""What happens, as the store tells it: the jobs now, and one entry for each thing that happened."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from watcher.cli import drawing
from watcher.service.errors import StoreError
from watcher.service.ports import Reads
from watcher.service.records import AlertQuery, Effect, OutboxState
from watcher.service.status import Json, alert_views, job_views, proposal_view
from watcher.store.sqlite import SqliteStore, open_store

_EVERYTHING = 100_000
_QUIET = 2.0
"""Seconds without any news after which a story whose jobs have all ended is over."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened; `seconds` count from the first look at the jobs."""

    seconds: float
    severity: str
    who: str
    what: str


@dataclass(slots=True)
class Story:
    """Follows the store of the running watcher, which it only reads, and writes each alert that fired to a file."""

    path: Path
    alerts_file: Path
    patience: float
    """Seconds without any news after which nothing more is expected."""
    jobs: list[Json] = field(default_factory=list)
    alerts: list[Json] = field(default_factory=list)
    proposals: list[Json] = field(default_factory=list)
    undelivered: int = 0
    entries: list[Entry] = field(default_factory=list)
    began: datetime | None = None
    _store: SqliteStore | None = None
    _known: dict[str, str] = field(default_factory=dict)
    _news: tuple[object, ...] = ()
    _news_at: datetime | None = None

    def read(self, now: datetime) -> None:
        """Look again; before the watcher has made its database there is nothing to see."""
        try:
            self._store = self._store or open_store(self.path, create=False, query_only=True)
            self._store.read_now(self._take)
        except StoreError:
            return  # not made yet: a watcher that never makes it is noticed by its exit
        seen = [datetime.fromisoformat(job["first_seen_at"]) for job in self.jobs]
        self.began = min(seen, default=self.began)
        for job in self.jobs:
            self._note_job(job, now)
        for alert in self.alerts:
            self._note_alert(alert)
        for proposal in self.proposals:
            self._note_proposal(proposal)
        self._note_news(now)

    def close(self) -> None:
        """Let go of the database."""
        if self._store is not None:
            self._store.close()

    def elapsed(self, moment: datetime) -> float:
        """Seconds since the first look at the jobs."""
        return (moment - self.began).total_seconds() if self.began else 0.0

    def over(self, now: datetime) -> bool:
        """Whether nothing more is to be expected."""
        if not self.jobs or self._news_at is None:
            return False
        quiet = (now - self._news_at).total_seconds()
        settled = self.undelivered == 0 and all(ended(job) for job in self.jobs)
        return quiet >= (_QUIET if settled else self.patience)

    def _take(self, reads: Reads) -> None:
        self.jobs = sorted(job_views(reads), key=lambda job: (drawing.name(job), str(job["first_seen_at"])))
        self.alerts = alert_views(reads, AlertQuery(limit=_EVERYTHING))[::-1]
        self.proposals = [proposal_view(proposal) for proposal in reads.proposals()][::-1]
        open_rows = reads.outbox(states=(OutboxState.DUE, OutboxState.CLAIMED), limit=_EVERYTHING)
        self.undelivered = sum(row.effect is Effect.NOTIFY for row in open_rows)

    def _note_job(self, job: Json, now: datetime) -> None:
        if self._changed(job["id"], drawing.status(job)):
            moment = _moment(job["ended_at"]) or now
            self._tell(moment, "", drawing.name(job), drawing.status(job))

    def _note_alert(self, alert: Json) -> None:
        new = alert["id"] not in self._known
        if alert["state"] == "pending" or not self._changed(alert["id"], alert["state"]):
            return
        job = self.job(alert["account"], alert["subject"])
        who = drawing.name(job) if job else drawing.sentence(alert["subject"])
        title = drawing.title(alert)
        if new:  # it may have fired and gone between two looks
            where = drawing.steps(alert["step"], job["total_steps"] if job else None)
            told = f"{title}{f' at {where}' if where else ''}: {drawing.sentence(alert['reason'])}"
            self._tell(_moment(alert["starts_at"]), alert["severity"], who, told)
            self._write(alert, job)
        if alert["state"] == "resolved":
            self._tell(_moment(alert["ends_at"]), "", who, f"{title} is over")

    def _note_proposal(self, proposal: Json) -> None:
        state = _stage(proposal)
        if not self._changed(proposal["id"], state) or state not in _CANCELS:
            return
        job = self.job(proposal["account"], proposal["job"])
        detail = drawing.sentence(proposal["detail"])
        seen = (proposal[key] for key in ("ended_at", "posted_at", "announced_at", "proposed_at"))
        moment = _moment(next((at for at in seen if at), None))
        what = f"auto-cancel {_CANCELS[state]}{f': {detail}' if detail else ''}"
        self._tell(moment, "cancel", drawing.name(job) if job else proposal["job"], what)

    def _note_news(self, now: datetime) -> None:
        steps = tuple((job["id"], job["step"], job["status"], job["output_name"]) for job in self.jobs)
        news = (steps, len(self.entries), self.undelivered)
        if news != self._news:
            self._news, self._news_at = news, now

    def _tell(self, moment: datetime | None, severity: str, who: str, what: str) -> None:
        if moment is not None:
            self.entries.append(Entry(self.elapsed(moment), severity, who, what))

    def _changed(self, key: str, value: str) -> bool:
        before = self._known.get(key)
        self._known[key] = value
        return before != value

    def job(self, account: str, job_id: str) -> Json | None:
        """A job by id."""
        return next((j for j in self.jobs if j["id"] == job_id and j["account"] == account), None)

    def _write(self, alert: Json, job: Json | None) -> None:
        line: dict[str, Any] = {"job": (job["suffix"] or job["id"]) if job else None}
        line |= {key: alert[key] for key in ("rule", "kind", "severity", "step", "onset", "reason", "starts_at")}
        with self.alerts_file.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line, ensure_ascii=False, allow_nan=False)}\n")


def _stage(proposal: Json) -> str:
    """Its state, and of the two that take long how far it is."""
    if proposal["state"] == "requested" and proposal["posted_at"]:
        return "posted"
    if proposal["state"] == "proposed" and proposal["deadline_at"]:
        return "announced"
    return str(proposal["state"])


_CANCELS = {
    "announced": "announced, and done when its veto window has passed",
    "posted": "requested",
    "confirmed": "confirmed",
    "overtaken": "came too late",
    "withdrawn": "withdrawn",
    "vetoed": "vetoed",
    "failed": "failed",
}
"""What is told of an auto-cancel, by what became of it."""


def ended(job: Json) -> bool:
    """Whether nothing more is to come of a job: it is over, or stands still and that was told."""
    return job["ended_at"] is not None or any(a["rule"] == "stall" and a["state"] == "firing" for a in job["alerts"])


def _moment(iso: str | None) -> datetime | None:
    return datetime.fromisoformat(iso) if iso else None

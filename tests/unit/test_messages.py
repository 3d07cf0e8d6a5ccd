"""What people get to read of every rule, every reason and every kind of group; the snapshots are meant to be read."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.told import ACCOUNT, DIVERGED, FACTS, JOB, QUIET, TOLD
from tests.unit.test_formats import snapshots_as
from watcher.domain import moneywords
from watcher.domain.alerts import Alert, AlertState, Subject, Transition, TransitionReason
from watcher.domain.checkpoints import Choice, Measure, Place
from watcher.domain.compose import compose, compose_many
from watcher.domain.facts import JobFacts
from watcher.domain.messages import Message
from watcher.domain.rule import SubjectKind
from watcher.domain.rules import RULES
from watcher.domain.verdicts import Severity
from watcher.notify.formats import html, markdown, text
from watcher.notify.formats.parts import title

KEY = "3f9a1c27be040b5d77aa"
RENDERERS = {"txt": text.render, "md": markdown.render, "html": html.render}
HOUR = timedelta(hours=1)
LOST = replace(FACTS, status="cancelled", running=False).meter
NOTES = {
    TransitionReason.RESOLVED: "no longer found",
    TransitionReason.ENDED: "the job has ended and is not followed any more",
    TransitionReason.CANCEL_PROPOSED: "It will be cancelled in 15 min unless somebody vetoes it.",
    TransitionReason.CANCEL_APPROVED: "Approved by ada (no hope): cancelled as soon as every other guard agrees.",
    TransitionReason.CANCEL_FROZEN: "No new row for 6 min. Nothing is cancelled before two sweeps agree again.",
    TransitionReason.WOULD_CANCEL: "Auto-cancel only observes here: with enforce, the job would be cancelled now.",
    TransitionReason.CANCEL_REFUSED: "Not cancelled: step 172 of 400 is 43 %, outside 50–90 %.",
    TransitionReason.CANCEL_REQUESTED: "A cancel was requested at step 172.",
    TransitionReason.CANCELLED: f"Cancelled at step 172. {moneywords.cancelled(LOST)}",
    TransitionReason.CANCEL_OVERTAKEN: "The job ended by itself before the cancel took effect: completed.",
    TransitionReason.CANCEL_FAILED: "The cancel was requested, but the job still runs. Cancel it by hand.",
    TransitionReason.CANCEL_VETOED: "Vetoed: the watcher will not cancel this job.",
    TransitionReason.CANCEL_WITHDRAWN: "The job ended first: completed.",
}


def first(alert: Alert) -> Transition:
    return Transition(alert=alert, reason=TransitionReason.FIRST, at=alert.starts_at)


def told(reason: TransitionReason, alert: Alert = DIVERGED) -> Transition:
    """An hour after it began."""
    at = alert.starts_at + HOUR
    if reason is TransitionReason.FIRST:
        return first(alert)
    if reason in (TransitionReason.RESOLVED, TransitionReason.ENDED):
        alert = replace(alert, state=AlertState.RESOLVED, ends_at=at)
    return Transition(alert=alert, reason=reason, at=at, note=NOTES.get(reason, ""))


def facts_at(transition: Transition) -> JobFacts:
    facts = FACTS if transition.alert.may_cancel else QUIET
    if transition.reason is TransitionReason.CANCELLED:
        return replace(facts, status="cancelled", running=False)
    return replace(facts, fresh_at=transition.at - timedelta(seconds=12))


def failing(count: int, **changes: Any) -> list[tuple[Transition, JobFacts]]:
    """So many jobs that fail at once."""
    alert = next(alert for alert, _ in TOLD if (alert.rule, alert.kind) == ("failure", "error"))
    found = []
    for n in range(count):
        job = Subject(kind=SubjectKind.JOB, account="main", job_id=f"ft-{n:04d}")
        of_job = replace(alert, id=f"{n:012x}", subject=job, **changes)
        found.append((first(of_job), replace(QUIET, job_id=job.job_id, suffix=f"support_bot_v{n}", status="error")))
    return found


def groups() -> dict[str, Message]:
    """Messages of several alerts."""
    now = DIVERGED.starts_at + HOUR
    of_one_job = [(first(a), QUIET) for a, _ in TOLD if a.rule in ("nan_loss", "gradient")] + [(first(DIVERGED), FACTS)]
    stalled = next(alert for alert, _ in TOLD if alert.rule == "stall")
    away = next(alert for alert, _ in TOLD if alert.rule == "provider_unreachable")
    over = [(told(TransitionReason.RESOLVED, t.alert), facts) for t, facts in failing(3)]
    mixed = [*failing(2), (first(stalled), QUIET), (first(away), None)]
    return {
        "a storm": compose_many(failing(50), KEY, now),
        "one job": compose_many(of_one_job, KEY, now),
        "a mixture": compose_many(mixed, KEY, now),
        "some are over": compose_many(over[:2], KEY, now),
        "all clear": compose_many(over, KEY, now, clear=True),
        "reminder": compose_many([(told(TransitionReason.REMINDER, t.alert), f) for t, f in failing(2)], KEY, now),
        "escalated": compose_many([(told(TransitionReason.ESCALATED, t.alert), f) for t, f in failing(2)], KEY, now),
    }


def written(messages: Iterable[tuple[str, Message]], render: Callable[..., str]) -> str:
    return "\n\n".join(f"===== {name}\n{render(message, heading=True)}" for name, message in messages) + "\n"


@pytest.mark.parametrize("form", RENDERERS)
def test_every_rule_reads(form: str, snapshot: SnapshotAssertion) -> None:
    messages = [(f"{a.rule} {a.kind}", compose(first(a), facts, KEY)) for a, facts in TOLD]

    assert written(messages, RENDERERS[form]) == snapshot(extension_class=snapshots_as(form))


@pytest.mark.parametrize("form", RENDERERS)
def test_every_reason_reads(form: str, snapshot: SnapshotAssertion) -> None:
    transitions = [told(reason) for reason in TransitionReason]
    messages = [(t.reason.value, compose(t, facts_at(t), KEY)) for t in transitions]

    assert written(messages, RENDERERS[form]) == snapshot(extension_class=snapshots_as(form))


@pytest.mark.parametrize("form", RENDERERS)
def test_every_group_reads(form: str, snapshot: SnapshotAssertion) -> None:
    assert written(groups().items(), RENDERERS[form]) == snapshot(extension_class=snapshots_as(form))


def test_no_rule_is_forgotten() -> None:
    assert {rule().name for rule in RULES} == {alert.rule for alert, _ in TOLD}


def everything() -> list[Message]:
    singles = [compose(first(alert), facts, KEY) for alert, facts in TOLD]
    reasons = [compose(told(reason), FACTS, KEY) for reason in TransitionReason]
    return [*singles, *reasons, *groups().values()]


def test_titles_fit_a_lock_screen_whole() -> None:
    shown = [title(message) for message in everything()]

    assert [words for words in shown if len(words) > 72 or words.endswith("…")] == []


def test_no_fact_is_told_twice() -> None:
    for message in everything():
        labels = [label for label, _ in message.facts]
        values = [value for _, value in message.facts if len(value) > 8]

        assert len(labels) == len(set(labels))
        assert len(values) == len(set(values))
        assert not [value for value in values if value in message.what]


def test_a_storm_counts_what_has_no_room_and_keeps_its_key() -> None:
    storm = groups()["a storm"]
    for render in RENDERERS.values():
        body = render(storm, limit=1000)

        assert len(body) <= 1000
        assert "… and " in body
        assert KEY in body.splitlines()[-2 if render is html.render else -1]
        assert "support_bot_v0" in body


def test_the_worst_comes_first() -> None:
    mixed = groups()["a mixture"]

    assert [item.severity for item in mixed.items] == sorted((i.severity for i in mixed.items), key=lambda s: -s.rank)
    assert mixed.severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        pytest.param(
            {}, "about $27.70 for the steps left, about $10.41 an hour, if every step costs the same", id="all known"
        ),
        pytest.param({"price_nano": None}, "unknown (price not known)", id="no price yet"),
        pytest.param(
            {"seconds_per_step": None},
            "about $27.70 for the steps left, what an hour costs is unknown (pace not known), if every step costs the "
            "same",
            id="no pace yet",
        ),
        pytest.param({"total_steps": None}, "unknown (plan not known)", id="no plan"),
    ],
)
def test_money_at_stake_is_told_or_said_to_be_unknown(changes: dict[str, Any], shown: str) -> None:
    message = compose(first(DIVERGED), replace(FACTS, **changes), KEY)

    assert dict(message.facts)["at stake"] == shown


@pytest.mark.parametrize(
    ("changes", "label", "shown"),
    [
        pytest.param(
            {}, "best checkpoint", f"step 80 (eval loss 0.711), from_checkpoint {JOB.job_id}:80",
            id="the best was saved",
        ),
        pytest.param(
            {"choice": Choice(measure=Measure.TRAIN, saved=Place(160, 0.52))}, "best checkpoint",
            f"step 160 (smoothed train loss 0.52), from_checkpoint {JOB.job_id}:160, saved after it began", id="spoilt",
        ),
        pytest.param(
            {"choice": Choice(measure=Measure.EVAL, saved=Place(80, 0.711), unsaved=Place(100, 0.69))},
            "better, but not saved", "step 100 (eval loss 0.69)", id="a better one was not saved",
        ),
        pytest.param(
            {"choice": Choice(newest=80)}, "newest checkpoint", f"step 80, from_checkpoint {JOB.job_id}:80",
            id="only the newest is known",
        ),
        pytest.param(
            {"choice": Choice(), "checkpoint_step": None}, "newest checkpoint",
            "none saved yet, as of 2026-07-01 10:00 UTC: a cancel now would lose all 172 steps", id="none yet",
        ),
        pytest.param(
            {"choice": Choice(), "checkpoint_step": None, "saved_unplaced": 2}, "newest checkpoint",
            "2 saved, at steps that the log does not tell", id="nobody knows where",
        ),
    ],
)  # fmt: skip
def test_the_checkpoint_to_go_on_from(changes: dict[str, Any], label: str, shown: str) -> None:
    message = compose(first(DIVERGED), replace(FACTS, **changes), KEY)

    assert dict(message.facts)[label] == shown


def test_what_never_cancels_does_not_warn_of_a_cancel() -> None:
    bare = replace(QUIET, choice=Choice(), checkpoint_step=None)
    alert = next(alert for alert, facts in TOLD if facts is QUIET and not alert.may_cancel)

    assert dict(compose(first(alert), bare, KEY).facts)["newest checkpoint"].startswith("none saved yet, as of ")
    assert "lose" not in str(compose(first(alert), bare, KEY).facts)


def test_the_end_of_a_job_that_was_cut_short_has_the_command_that_goes_on() -> None:
    go_on = "together fine-tuning create --training-file=file-1 --from-checkpoint=ft-1:80 --learning-rate=1e-05"
    ended = replace(FACTS, running=False, go_on=go_on)
    messages = {
        status: compose(first(DIVERGED), replace(ended, status=status), KEY)
        for status in ("cancelled", "error", "completed", "user_error")
    }

    assert {status: message.command for status, message in messages.items()} == {
        "cancelled": go_on, "error": go_on, "completed": "", "user_error": "",
    }  # fmt: skip
    for render in RENDERERS.values():
        assert go_on in render(messages["cancelled"])


@pytest.mark.parametrize("command", ["together `reboot`", "a <@U123>", "a\nb", "a" * 801])
def test_a_command_that_can_not_be_shown_as_it_is_is_not_shown(command: str) -> None:
    message = replace(compose(first(DIVERGED), FACTS, KEY), command=command)

    assert not any("To go on from" in render(message) for render in RENDERERS.values())


def test_where_there_is_no_room_the_command_is_left_out_and_not_cut() -> None:
    go_on = f"together fine-tuning create --training-file={'f' * 90}"
    message = replace(compose(first(DIVERGED), FACTS, KEY), command=go_on)
    for render in RENDERERS.values():
        for limit in range(200, 3000, 150):
            shown = render(message, limit=limit)
            assert ("together fine" in shown) == (go_on in shown)


def test_a_deleted_job_has_nothing_to_go_on_from() -> None:
    gone = dict(compose(first(DIVERGED), replace(FACTS, running=False), KEY).facts)

    assert not any("checkpoint" in label for label in gone)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({}, f"watcher veto {JOB.job_id}", id="enforced"),
        pytest.param({"vetoed": True}, f"watcher veto --lift {JOB.job_id}", id="vetoed already"),
        pytest.param({"cancel_mode": "off", "cancel": ""}, f"watcher cancel {JOB.job_id}", id="nobody cancels"),
    ],
)
def test_it_says_how_to_keep_the_job(changes: dict[str, Any], words: str) -> None:
    assert compose(first(DIVERGED), replace(FACTS, **changes), KEY).action.endswith(words)


def test_a_job_that_has_ended_offers_no_veto() -> None:
    assert compose(first(DIVERGED), replace(FACTS, running=False, cancel=""), KEY).action == ""


def test_several_alerts_of_one_job_know_it_and_of_many_none() -> None:
    assert groups()["one job"].job_id == JOB.job_id
    assert groups()["one job"].link == FACTS.link
    assert (groups()["a storm"].job_id, groups()["a mixture"].link) == ("", "")


def test_an_alert_about_an_account_has_no_picture() -> None:
    alert = next(alert for alert, _ in TOLD if alert.subject == ACCOUNT)

    assert compose(first(alert), None, KEY).job_id == ""

"""Messages for tests: typical ones, and one in which every text is hostile."""

from dataclasses import replace
from datetime import UTC, datetime

from watcher.domain.alerts import TransitionReason
from watcher.domain.messages import Message
from watcher.domain.verdicts import Severity

DIVERGENCE = Message(
    key="3f9a1c27be04.first.0b5d",
    at=datetime(2026, 11, 23, 10, 4, 5, tzinfo=UTC),
    reason=TransitionReason.FIRST,
    severity=Severity.CRITICAL,
    rule="divergence",
    kind="diverged",
    subject="ft-2b8c6a10-77aa",
    account="main",
    title="support_bot_v3: loss diverged",
    what="The loss has left its own past for good: 0.84 before step 396, 5.31 at step 420 (6.3 × its level).",
    facts=(
        ("job", "ft-2b8c6a10-77aa (support_bot_v3)"),
        ("since step", "396"),
        ("seen at step", "420 of 2000"),
        ("loss", "5.31, was 0.84"),
        ("grad norm", "41.2, was 1.1"),
    ),
    action="The job will be cancelled when the next sweep sees the same.",
    sparkline="▂▂▁▁▁▂▅▇█",
    link="https://watch.example.org/jobs/ft-2b8c6a10-77aa?account=main&tab=loss",
    alert_id="3f9a1c27be04",
)

COMPLETED = replace(
    DIVERGENCE,
    key="77d0e2ab9c11.first.0b5d",
    severity=Severity.INFO,
    rule="completion",
    kind="completed",
    title="support_bot_v3: completed",
    what="Completed in 1 h 12 min; best eval loss 0.711 at step 1800.",
    facts=(("model", "org/Base-8B-support_bot_v3"), ("price", "$12.40")),
    action="",
    sparkline="",
    link="",
)

RESOLVED = replace(
    DIVERGENCE,
    key="3f9a1c27be04.resolved.0b5d",
    reason=TransitionReason.RESOLVED,
    what="No breach any more: the job ended.",
    action="",
)

CANCELLED = replace(
    DIVERGENCE,
    key="3f9a1c27be04.cancelled.0b5d",
    reason=TransitionReason.CANCELLED,
    action="Cancelled at step 431; checkpoint ft-2b8c6a10-77aa:380 is the best one saved.",
)

HOSTILE_TEXT = (
    "<!channel> @everyone <@U123> *bold* _it_ ~gone~ ||spoiler|| `code` ```x``` [click](http://evil.example/x) "
    "![i](http://evil.example/p.png) <b>tag</b><script>alert(1)</script> &amp; \\ \x1b[31mred\x07 \u202egnp.exe "
    "\u200bzero\u2066iso \ud800 line\r\nid: forged\u2028id: forged too"
)

HOSTILE = replace(
    DIVERGENCE,
    title=f"divergence: {HOSTILE_TEXT}",
    what=f"# {HOSTILE_TEXT}",
    facts=((HOSTILE_TEXT, HOSTILE_TEXT), ("1. label", "- item"), ("\n", "\n\n")),
    action=f"> {HOSTILE_TEXT}",
    sparkline="▁`▂`<b>",
    link="javascript:alert(1)",
)

ALL = {
    "divergence": DIVERGENCE,
    "completed": COMPLETED,
    "resolved": RESOLVED,
    "cancelled": CANCELLED,
    "hostile": HOSTILE,
}

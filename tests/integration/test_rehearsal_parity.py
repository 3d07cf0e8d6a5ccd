"""What `watcher replay --cancel` says of a recording is what the daemon does to the same rows."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.timeline import ROW_EVERY, SWEEP_EVERY, Scene, scene
from tests.toys import High
from watcher.domain.cancel_policy import CancelMode, CancelPolicy
from watcher.domain.rehearsal import Outcome, Rehearsal, Timing
from watcher.domain.replay import Recording, replay
from watcher.service.records import Proposal, ProposalState

FIRST = SWEEP_EVERY
"""The first rows come at a sweep, as a rehearsal takes them to."""
Came = tuple[Outcome, int | None, int | None]


@dataclass(frozen=True)
class Course:
    """The loss from a step on (above 5 the rule fires, below 0 it can't tell), and seconds of silence before a step."""

    losses: dict[int, float]
    plan: int = 150
    silence: dict[int, int] = field(default_factory=dict)

    def logged_at(self, step: int) -> float:
        """Seconds of the scene."""
        return FIRST + ROW_EVERY * (step - 1) + sum(s for before, s in self.silence.items() if before <= step)

    def step_at(self, seconds: float) -> int:
        """The last step that was logged by then."""
        return max(step for step in range(1, 200) if self.logged_at(step) <= seconds)

    def recording(self, job: str, end: float) -> Recording:
        losses = {1: 2.0, **self.losses}
        rows = tuple(
            Scene.row(step, self.logged_at(step), losses[max(k for k in losses if k <= step)])
            for step in range(1, self.step_at(end) + 1)
        )
        return Recording(id=job, rows=rows, total_steps=self.plan, timed=True)


COURSES = {
    "ft-lasts": Course({8: 9}),
    "ft-recovers-and-breaks-again": Course({8: 9, 20: 2, 40: 9}),
    "ft-has-two-episodes": Course({8: 9, 18: 2, 19: 9}),
    "ft-is-doubtful-at-the-end": Course({8: 9, 20: -1, 34: 9}),
    "ft-is-doubtful-for-longer-than-a-window": Course({8: 9, 15: -1, 42: 9}),
    "ft-is-stale-at-the-end": Course({8: 9}, silence={14: 220}),
    "ft-is-silent-for-long": Course({8: 9}, silence={14: 400}),
    "ft-is-silent-for-longer-than-a-window": Course({8: 9}, silence={14: 550}),
    "ft-leaves-its-bounds": Course({8: 9}, plan=25),
}
SHORT = {
    "ft-lasts": Course({8: 9}),
    "ft-flickers": Course({step: 9 if step % 2 else 2 for step in range(9, 24, 3)}),
    "ft-is-early": Course({2: 9}, plan=1000),
    "ft-is-late": Course({9: 9}, plan=10),
    "ft-keep": Course({8: 9}),
}


def script(play: Scene, job: str, course: Course) -> None:
    """The same rows from the provider of the scene."""

    def begin() -> None:
        play.job(job, total_steps=course.plan)

    play.do(f"{FIRST - ROW_EVERY:g}s", begin)
    for step, loss in course.losses.items():
        play.at(f"{course.logged_at(step):g}s", job, loss=loss)
    for step in course.silence:
        play.at(f"{course.logged_at(step - 1) + ROW_EVERY:g}s", job, quiet=True)
        play.at(f"{course.logged_at(step):g}s", job, quiet=False)


def lived(play: Scene, course: Course, proposal: Proposal) -> Came:
    """A proposal of the daemon in the words of a rehearsal."""

    def step(moment: datetime | None) -> int:
        assert moment is not None
        return course.step_at(play.now - (play.clock.now() - moment).total_seconds())

    match proposal.state:
        case ProposalState.PROPOSED:
            return Outcome.OPEN, proposal.step, None
        case ProposalState.CONFIRMED:
            return Outcome.CANCELLED, proposal.step, step(proposal.posted_at)
        case _:
            return Outcome.WITHDRAWN, proposal.step, step(proposal.ended_at)


def rehearsed(job: str, course: Course, policy: CancelPolicy, end: float) -> list[Came]:
    recording = course.recording(job, end)
    rehearsal = Rehearsal(recording, policy, Timing(interval=timedelta(seconds=SWEEP_EVERY)))
    replay(recording, [High()], None, rehearsal)
    return [(p.outcome, p.step, p.ended) for p in rehearsal.proposals]


@pytest.mark.parametrize(
    ("mode", "courses", "end"),
    [
        pytest.param(CancelMode.PROPOSE, COURSES, 960, id="propose"),
        pytest.param(CancelMode.ENFORCE, SHORT, 300, id="enforce"),
    ],
)
async def test_a_rehearsal_says_what_the_daemon_does(
    mode: CancelMode, courses: dict[str, Course], end: int, tmp_path: Path
) -> None:
    policy = CancelPolicy(mode=mode, veto_window=timedelta(minutes=3), max_per_hour=99, never=("*-keep",))
    async with scene(tmp_path, policy=policy) as play:
        for job, course in courses.items():
            script(play, job, course)
        await play.run(f"{end}s")
        found = {
            job: [lived(play, course, p) for p in sorted(await play.proposals(job), key=lambda p: p.proposed_at)]
            for job, course in courses.items()
        }

    assert {job: rehearsed(job, course, policy, end) for job, course in courses.items()} == found

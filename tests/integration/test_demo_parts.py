"""The parts of the demo alone: its folder, its receiver, how it follows a store, and what it draws."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from tests.leaks import Heard
from tests.stored import NOW, a_job, a_proposal, a_snapshot, an_alert, an_effect, at
from watcher.cli.demo.folder import ApiLog, Folder
from watcher.cli.demo.receiver import NotificationReceiver
from watcher.cli.demo.report import report
from watcher.cli.demo.screen import Facts, LiveScreen, PlainScreen, feed
from watcher.cli.demo.story import Entry, Story
from watcher.domain.alerts import Alert, AlertState
from watcher.domain.observations import Status, TrainRow
from watcher.domain.verdicts import Severity
from watcher.service.bookstate import BookState, packed
from watcher.service.errors import ConfigError
from watcher.service.ports import Writes
from watcher.service.records import JobKey, JobRecord, Proposal, ProposalState
from watcher.store.sqlite import open_store


def test_the_folder_is_emptied_of_what_a_demo_made_and_of_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    folder = Folder(tmp_path)
    folder.prepare()
    folder.alerts.write_text("old")
    (folder.notifications / "001-x.txt").write_text("old")
    folder.state.mkdir()
    folder.prepare()

    assert folder.alerts.read_text() == ""
    assert list(folder.notifications.iterdir()) == []
    assert not folder.state.exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_link_in_the_place_of_its_folder_is_removed_and_not_followed(tmp_path: Path) -> None:
    folder, other = Folder(tmp_path / "out"), tmp_path / "other"
    folder.prepare()
    other.mkdir()
    (other / "file").touch()
    folder.state.symlink_to(other)
    folder.prepare()

    assert (other / "file").exists()
    assert not folder.state.is_symlink()


def test_a_folder_that_can_not_be_made_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="expected a folder that can be written"):
        Folder(tmp_path / "file" / "out").prepare()


def test_the_api_log_is_read_as_it_grows_by_whole_lines(tmp_path: Path) -> None:
    api, path = ApiLog(tmp_path / "api.log"), tmp_path / "api.log"
    api.read()
    path.write_text('{"fault": null}\n{"fault": "html"}\n{"fau')
    api.read()
    half = api.requests
    path.write_text('{"fault": null}\n{"fault": "html"}\n{"fault": "html"}\n')
    api.read()

    assert (half, api.requests, dict(api.faults)) == (2, 3, {"html": 2})


def _post(address: str, body: bytes) -> int:
    return httpx.post(f"http://{address}/team", content=body, timeout=5, trust_env=False).status_code


def test_each_notification_becomes_a_file_whose_name_can_do_no_harm(tmp_path: Path) -> None:
    with NotificationReceiver(tmp_path) as receiver:
        good = _post(receiver.address, json.dumps({"title": "../../Évil: x", "message": "what\nid: k1\n"}).encode())
        bad = [_post(receiver.address, body) for body in (b"{", b"[]")]

    assert (good, bad, receiver.count) == (200, [400, 400], 1)
    assert [file.name for file in tmp_path.iterdir()] == ["001-team-vil-x.txt"]
    assert (tmp_path / "001-team-vil-x.txt").read_text() == "../../Évil: x\n\nwhat\nid: k1\n"


def test_a_notification_that_can_not_be_kept_is_refused_so_that_it_comes_again(tmp_path: Path) -> None:
    with NotificationReceiver(tmp_path / "missing") as receiver:
        assert _post(receiver.address, b'{"title": "x", "message": "y"}') == 500


# --- following a store ---


def a_running_job(**changes: Any) -> JobRecord:
    state = BookState()
    state.pace.take([TrainRow(step=40, at_ns=10**9, loss=1.0)], NOW)
    snapshot = a_snapshot(suffix="first", total_steps=100, total_price_nano=10_000_000_000)
    return replace(a_job(snapshot=snapshot, feed=packed(state), health="diverging"), **changes)


def ended(record: JobRecord, status: Status) -> JobRecord:
    return replace(record, snapshot=replace(record.snapshot, status=status, raw_status=status.value), ended_at=at(1))


class Followed:
    """A story over a store that the test writes."""

    def __init__(self, folder: Path) -> None:
        self.alerts = folder / "alerts.jsonl"
        self.story = Story(path=folder / "watcher.db", alerts_file=self.alerts, patience=8)
        self.path = folder / "watcher.db"

    def save(self, *things: JobRecord | Alert | Proposal) -> None:
        def work(tx: Writes) -> None:
            for thing in things:
                match thing:
                    case JobRecord():
                        tx.save_job(thing)
                    case Alert():
                        tx.save_alert(thing)
                    case Proposal():
                        tx.add_proposal(thing)

        with open_store(self.path) as store:
            store.write_now(work)

    @property
    def told(self) -> list[tuple[float, str, str]]:
        return [(entry.seconds, entry.severity, entry.what) for entry in self.story.entries]


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    return Followed(tmp_path)


def test_before_there_is_a_store_there_is_no_story(followed: Followed) -> None:
    followed.story.read(NOW)

    assert (followed.story.jobs, followed.story.over(at(10))) == ([], False)


def test_an_alert_is_told_once_and_written_even_when_it_came_and_went_between_two_looks(followed: Followed) -> None:
    gone = an_alert(state=AlertState.RESOLVED, starts_at=at(0.1), ends_at=at(0.2), step=47, onset=40, reason="Why.")
    followed.save(a_running_job(), gone)
    followed.story.read(at(1))
    followed.story.read(at(2))
    followed.story.close()

    (line,) = [json.loads(text) for text in followed.alerts.read_text().splitlines()]
    assert followed.told[1:] == [
        (6.0, "critical", "divergence (diverged) at 47/100: Why."),
        (12.0, "", "divergence (diverged) is over"),
    ]
    assert (line["job"], line["rule"], line["kind"], line["step"], line["onset"]) == (
        "first",
        "divergence",
        "diverged",
        47,
        40,
    )


def test_what_becomes_of_a_cancel_is_told(followed: Followed) -> None:
    followed.save(a_running_job())
    followed.story.read(NOW)
    confirmed = a_proposal(state=ProposalState.CONFIRMED, ended_at=at(1), detail="Cancelled at step 40.")
    followed.save(confirmed, ended(a_running_job(), Status.CANCELLED))
    followed.story.read(at(1))
    followed.story.close()

    assert followed.told[1:] == [
        (60.0, "", "cancelled"),
        (60.0, "cancel", "auto-cancel confirmed: Cancelled at step 40."),
    ]


@pytest.mark.parametrize(
    ("record", "alert", "seconds"),
    [
        pytest.param(ended(a_running_job(), Status.COMPLETED), None, 2.5, id="all jobs have ended"),
        pytest.param(a_running_job(), an_alert("stall", "training"), 2.5, id="a job stands still, and that was told"),
        pytest.param(a_running_job(), None, 9, id="nothing happens any more"),
    ],
)
def test_a_story_is_over_when_nothing_more_is_to_come(
    followed: Followed, record: JobRecord, alert: Any, seconds: float
) -> None:
    followed.save(record, *([alert] if alert else []))
    followed.story.read(NOW)
    followed.story.close()

    assert not followed.story.over(at((seconds - 1.5) / 60))
    assert followed.story.over(at(seconds / 60))


def test_a_story_is_not_over_while_somebody_is_still_to_be_told(followed: Followed) -> None:
    followed.save(ended(a_running_job(), Status.COMPLETED))
    with open_store(followed.path) as store:
        store.write_now(lambda tx: tx.enqueue([an_effect("k1")], NOW))
    followed.story.read(NOW)
    followed.story.close()

    assert (followed.story.undelivered, followed.story.over(at(3 / 60))) == (1, False)


# --- drawing ---


def a_console(width: int = 100, *, terminal: bool = False) -> Console:
    return Console(file=Heard(), width=width, height=24, force_terminal=terminal, markup=False, highlight=False)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


ENTRIES = [Entry(float(second), "warning", "job", f"what number {second} " + 30 * "words ") for second in range(20)]


@pytest.mark.parametrize(("room", "lines"), [(0, 0), (1, 1), (5, 5), (30, 30)])
def test_the_feed_keeps_to_its_room_and_shows_the_newest(room: int, lines: int) -> None:
    console = a_console(80)
    console.print(*feed(console, ENTRIES, room), sep="\n", end="")
    drawn = [line for line in shown(console).splitlines() if line]

    assert len(drawn) == lines
    assert room == 0 or "number 19" in "".join(drawn[-2:])


def test_without_a_terminal_each_entry_is_one_line_and_told_once(followed: Followed) -> None:
    console = a_console(20)
    followed.save(a_running_job(), an_alert(reason="One. " * 20))
    followed.story.read(NOW)
    followed.story.close()
    with PlainScreen(console) as screen:
        for _ in range(2):
            screen.show(followed.story, Facts(1, 2, 1, 0, ""))

    assert [line.split(":")[0].split()[-1] for line in shown(console).splitlines()] == ["first", "first"]


def test_the_live_picture_fits_its_terminal(followed: Followed) -> None:
    console = a_console(80, terminal=True)
    for number in range(17):
        key = JobKey("main", f"ft-{number}")
        followed.save(replace(a_running_job(), key=key, snapshot=replace(a_running_job().snapshot, job_id=key.job_id)))
    followed.story.read(NOW)
    followed.story.close()
    followed.story.entries.extend(ENTRIES)
    with LiveScreen(console) as screen:
        screen.show(followed.story, Facts(1.0, 200, 9, 3, "http://127.0.0.1:1"))
        before = shown(console)
        screen.show(followed.story, Facts(2.0, 210, 9, 3, "http://127.0.0.1:1"))
        frame = shown(console).removeprefix(before)

    assert "9 of 210 API requests went wrong" in frame
    assert frame.count("first") == 17
    assert frame.count("\n") < 24


def test_an_announced_cancel_is_told_before_it_is_done(followed: Followed) -> None:
    followed.save(a_running_job())
    undelivered = a_proposal("p0", JobKey("main", "ft-1"))
    followed.save(undelivered)
    followed.story.read(at(0.5))
    before = [what for _, severity, what in followed.told if severity == "cancel"]
    announced = a_proposal("p1", JobKey("main", "ft-2"), announced_at=at(0.5), deadline_at=at(2))
    over = {"state": ProposalState.VETOED, "ended_at": at(1), "detail": "Vetoed by ada."}
    followed.save(announced, a_proposal("p2", JobKey("main", "ft-3"), **over))
    followed.story.read(at(1))
    followed.story.close()

    assert before == []
    assert [what for _, severity, what in followed.told if severity == "cancel"] == [
        "auto-cancel announced, and done when its veto window has passed",
        "auto-cancel vetoed: Vetoed by ada.",
    ]


def test_the_report_says_what_a_cancel_saved_and_with_what_assumption(followed: Followed, tmp_path: Path) -> None:
    alert = an_alert(step=30, starts_at=at(0.5), severity=Severity.CRITICAL)
    followed.save(ended(a_running_job(), Status.CANCELLED), alert)
    followed.save(a_proposal(state=ProposalState.CONFIRMED, key=JobKey("main", "ft-1"), ended_at=at(1)))
    followed.story.read(at(1))
    followed.story.close()
    console, api = a_console(200), ApiLog(tmp_path / "api.log")
    api.requests, api.faults["cut"] = 50, 2
    report(console, followed.story, api, Folder(tmp_path), 3)

    drawn = " ".join(shown(console).split())

    assert "first cancelled ‼ divergence (diverged) 30.0 s 30/100 60 of 100 steps (60%)" in drawn
    assert "60 of their 100 steps not run (60%), worth about $6.00 of the simulated prices if every step costs" in drawn
    assert "2 faults in 50 API requests (2 × cut off amid the answer)" in drawn
    assert "3 notifications delivered, 0 still to deliver" in drawn

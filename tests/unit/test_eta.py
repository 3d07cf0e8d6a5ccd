from datetime import UTC, datetime, timedelta

import pytest

from watcher.domain.eta import left_by_api, left_by_steps, progress

T0 = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)


def ns(minutes: float) -> int:
    return int((T0 + timedelta(minutes=minutes)).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("done", "planned", "share"),
    [
        pytest.param(60, 120, 0.5, id="half"),
        pytest.param(None, 120, 0.0, id="nothing yet"),
        pytest.param(130, 120, 1.0, id="never over one"),
        pytest.param(-1, 120, 0.0, id="never under none"),
        pytest.param(60, None, None, id="no plan"),
        pytest.param(60, 0, None, id="an empty plan"),
        pytest.param(60, -5, None, id="a plan that makes no sense"),
    ],
)
def test_progress(done: int | None, planned: int | None, share: float | None) -> None:
    assert progress(done, planned) == share


@pytest.mark.parametrize(
    ("first", "last", "planned", "minutes", "left"),
    [
        pytest.param((1, ns(0)), (61, ns(60)), 121, 60, 60, id="a step a minute"),
        pytest.param((1, ns(0)), (61, ns(60)), 121, 70, 50, id="time since the last row is taken off"),
        pytest.param((1, ns(0)), (61, ns(60)), 121, 999, 0, id="down to none"),
        pytest.param((1, ns(0)), (61, ns(60)), 121, 0, 60, id="a row from the future takes nothing off"),
        pytest.param((1, ns(0)), (121, ns(60)), 121, 60, 0, id="at the last step"),
        pytest.param((1, ns(0)), (130, ns(60)), 121, 60, 0, id="beyond it"),
        pytest.param((1, ns(0)), (61, ns(60)), None, 60, None, id="no plan"),
        pytest.param((1, ns(0)), (1, ns(60)), 121, 60, None, id="one step has no pace"),
        pytest.param((1, 0), (61, ns(60)), 121, 60, None, id="no time"),
        pytest.param((1, ns(60)), (61, ns(60)), 121, 60, None, id="no time in between"),
    ],
)
def test_left_by_steps(
    first: tuple[int, int], last: tuple[int, int], planned: int | None, minutes: float, left: float | None
) -> None:
    found = left_by_steps(
        first_step=first[0],
        first_ns=first[1],
        last_step=last[0],
        last_ns=last[1],
        planned=planned,
        now=T0 + timedelta(minutes=minutes),
    )

    assert found == (None if left is None else timedelta(minutes=left))


@pytest.mark.parametrize(
    ("seconds", "started", "minutes", "left"),
    [
        pytest.param(2400, T0, 10, 30, id="counted from the start of the stage"),
        pytest.param(2400.5, T0, 0, 2400.5 / 60, id="a fraction of a second"),
        pytest.param(2400, T0, 40, None, id="run out"),
        pytest.param(2400, T0 + timedelta(hours=1), 0, 40, id="a start in the future takes nothing off"),
        pytest.param(0, T0, 0, None, id="no estimate"),
        pytest.param(None, T0, 0, None, id="none given"),
        pytest.param(2400, None, 0, None, id="no start"),
        pytest.param(float("nan"), T0, 0, None, id="not a number"),
        pytest.param(1e300, T0, 0, None, id="beyond time"),
    ],
)
def test_left_by_api(seconds: float | None, started: datetime | None, minutes: float, left: float | None) -> None:
    found = left_by_api(seconds, started, T0 + timedelta(minutes=minutes))

    assert (found is None) == (left is None)
    assert found is None or abs(found.total_seconds() - (left or 0) * 60) < 1

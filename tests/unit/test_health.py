import pytest

from watcher.domain.health import Health, job_health
from watcher.domain.observations import Status

NAN = ("nan_loss", "train")


@pytest.mark.parametrize(
    ("status", "firing", "health"),
    [
        pytest.param("pending", [], "waiting", id="not started"),
        pytest.param("running", [], "converging", id="nothing is wrong"),
        pytest.param("uploading", [], "converging", id="training is over and went well"),
        pytest.param("running", [("gradient", "norm")], "converging", id="a rule that says nothing of health"),
        pytest.param("running", [("nan_loss", "eval")], "converging", id="only the evals are not finite"),
        pytest.param("running", [("plateau", "stuck")], "flat", id="no progress"),
        pytest.param("running", [("overfitting", "x"), ("plateau", "x")], "overfitting", id="overfitting before flat"),
        pytest.param("running", [("divergence", "x"), ("overfitting", "x")], "diverging", id="diverging before that"),
        pytest.param("running", [NAN, ("divergence", "x")], "broken", id="broken before everything"),
        pytest.param("running", [("stall", "training")], "unknown", id="stalled: what is known is old"),
        pytest.param("unrecognised", [], "unknown", id="a status that is not known"),
        pytest.param("completed", [NAN], "done", id="completed is done"),
        pytest.param("cancelled", [], "done", id="cancelled is done"),
        pytest.param("cancelled", [("divergence", "x")], "diverging", id="cancelled for diverging"),
        pytest.param("cancelled", [("plateau", "stuck")], "flat", id="cancelled while flat"),
        pytest.param("error", [], "broken", id="an error"),
        pytest.param("user_error", [], "broken", id="a user error"),
    ],
)
def test_health(status: str, firing: list[tuple[str, str]], health: str) -> None:
    assert job_health(Status(status), firing) == Health(health)


@pytest.mark.parametrize(
    ("status", "firing", "health"),
    [
        pytest.param("running", [], "unknown", id="not seen is not called good"),
        pytest.param("running", [("plateau", "stuck")], "unknown", id="nor a mild finding kept"),
        pytest.param("running", [NAN], "broken", id="what broke stays broken"),
        pytest.param("running", [("divergence", "x")], "diverging", id="what diverged stays so"),
        pytest.param("completed", [], "done", id="the end is final"),
    ],
)
def test_health_when_nobody_can_look(status: str, firing: list[tuple[str, str]], health: str) -> None:
    assert job_health(Status(status), firing, unknown=True) == Health(health)


def test_a_running_job_without_rows_waits() -> None:
    assert job_health(Status.RUNNING, [], has_rows=False) is Health.WAITING

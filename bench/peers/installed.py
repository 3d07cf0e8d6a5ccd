"""Rivals' own classes, where they can be imported, driven through the hooks that their trainers call.

Each maker returns a peer or raises whatever the import raised; what can't be had is told and left to the re-statement.
"""

import importlib.metadata
import logging
import math
import os
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from bench.peers.base import DIVERGENCE, NAN, NO_PROGRESS, Event, Peer

NEVER = 10**9
Maker = Callable[[], Peer]


def own(package: str) -> str:
    return f"its own class, {package} {importlib.metadata.version(package)}"


class Lightning(Peer):
    """`EarlyStopping` after each validation, or after each logged train row."""

    def __init__(self, name: str, *, on: str, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        import torch  # noqa: PLC0415
        from pytorch_lightning.callbacks import EarlyStopping  # noqa: PLC0415
        from pytorch_lightning.trainer.states import TrainerFn  # noqa: PLC0415

        self.name, self.source, self.on, self.kwargs = name, own("pytorch-lightning"), on, kwargs
        self.torch, self.make = torch, EarlyStopping
        strategy = SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision)  # noqa: A006, ARG005 - theirs
        self.trainer = SimpleNamespace(
            state=SimpleNamespace(fn=TrainerFn.FITTING),
            sanity_checking=False,
            fast_dev_run=False,
            current_epoch=0,
            strategy=strategy,
        )

    def reset(self) -> None:
        self.callback: Any = None
        self.trainer.should_stop = False

    def row(self, step: float, loss: float) -> Event | None:
        return self._see(step, loss) if self.on == "train" else None

    def eval(self, step: float, loss: float) -> Event | None:
        return self._see(step, loss) if self.on == "eval" else None

    def _see(self, step: float, loss: float) -> Event | None:
        if self.callback is None:
            limit = {"divergence_threshold": 2 * loss} if self.on == "train" and math.isfinite(loss) else {}
            self.callback = self.make(monitor="loss", check_on_train_epoch_end=False, **limit, **self.kwargs)
        self.trainer.callback_metrics = {"loss": self.torch.tensor(loss, dtype=self.torch.float64)}
        self.callback.on_validation_end(self.trainer, None)
        if not self.trainer.should_stop:
            return None
        why = self.callback.stopping_reason.name
        return Event(step, {"NON_FINITE_METRIC": NAN, "DIVERGENCE_THRESHOLD": DIVERGENCE}.get(why, NO_PROGRESS))


def lightning_train() -> Peer:
    # Patience is set out of reach: three rows without a new best happen in every healthy run.
    name = "Lightning EarlyStopping, train, divergence_threshold 2x start"
    return Lightning(name, on="train", patience=NEVER)


def lightning_eval() -> Peer:
    return Lightning("Lightning EarlyStopping, eval, patience 3", on="eval")


class Keras(Peer):
    """A Keras callback at its defaults, with a stand-in for the model that it asks to stop."""

    def __init__(self, name: str, kind: str) -> None:
        os.environ["KERAS_BACKEND"] = "torch"
        import keras  # noqa: PLC0415

        keras.utils.disable_interactive_logging()
        logging.getLogger("absl").setLevel(logging.ERROR)
        self.name, self.source, self.kind = name, own("keras"), kind
        self.make = getattr(keras.callbacks, kind)

    def reset(self) -> None:
        self.model, self.count = SimpleNamespace(stop_training=False), 0
        self.callback = self.make()
        self.callback.set_model(self.model)
        self.callback.on_train_begin()

    def row(self, step: float, loss: float) -> Event | None:
        if self.kind != "TerminateOnNaN":
            return None
        self.callback.on_batch_end(self.count, {"loss": loss})
        self.count += 1
        return Event(step, NAN) if self.model.stop_training else None

    def eval(self, step: float, loss: float) -> Event | None:
        if self.kind != "EarlyStopping":
            return None
        self.callback.on_epoch_end(self.count, {"val_loss": loss})
        self.count += 1
        return Event(step, NO_PROGRESS) if self.model.stop_training else None


def keras_patience() -> Peer:
    return Keras("Keras EarlyStopping, eval, patience 0", "EarlyStopping")


def keras_nan() -> Peer:
    return Keras("Keras TerminateOnNaN", "TerminateOnNaN")


class Transformers(Peer):
    """`EarlyStoppingCallback` at its defaults; the best is kept as the trainer keeps it, after the callback looked."""

    name = "transformers EarlyStoppingCallback"

    def __init__(self) -> None:
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        from transformers import EarlyStoppingCallback, TrainerControl, TrainerState  # noqa: PLC0415

        self.source = own("transformers")
        self.make, self.make_state, self.make_control = EarlyStoppingCallback, TrainerState, TrainerControl
        self.args = SimpleNamespace(metric_for_best_model="loss", greater_is_better=False)

    def reset(self) -> None:
        self.callback, self.state, self.control = self.make(), self.make_state(), self.make_control()

    def eval(self, step: float, loss: float) -> Event | None:
        self.callback.on_evaluate(self.args, self.state, self.control, {"eval_loss": loss})
        known = math.inf if self.state.best_metric is None else self.state.best_metric
        self.state.best_metric = min(known, loss) if not math.isnan(loss) else known
        return Event(step, NO_PROGRESS) if self.control.should_training_stop else None


class Optuna(Peer):
    """A pruner asked after each reported value, in a study that minimises."""

    def __init__(self, name: str, *, on: str) -> None:
        import optuna  # noqa: PLC0415

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=RuntimeWarning, message="All-NaN")
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self.name, self.source, self.on, self.optuna = name, own("optuna"), on, optuna
        self.study = optuna.create_study(direction="minimize")

    def reset(self) -> None:
        self.pruner: Any = None
        self.values: dict[int, float] = {}
        self.count = 0

    def row(self, step: float, loss: float) -> Event | None:
        if self.on != "train":
            return None
        if self.pruner is None:
            if not math.isfinite(loss):
                return Event(step, NAN) if math.isnan(loss) else None
            self.pruner = self.optuna.pruners.ThresholdPruner(upper=2 * loss)
        return Event(step, NAN if math.isnan(loss) else DIVERGENCE) if self._pruned(loss, keep=2) else None

    def eval(self, step: float, loss: float) -> Event | None:
        if self.on != "eval":
            return None
        if self.pruner is None:
            self.pruner = self.optuna.pruners.PatientPruner(None, patience=3)
        return Event(step, NO_PROGRESS) if self._pruned(loss, keep=NEVER) else None

    def _pruned(self, loss: float, *, keep: int) -> bool:
        self.values[self.count] = loss
        self.values.pop(self.count - keep, None)  # the threshold looks at the last value alone
        self.count += 1
        running = self.optuna.trial.TrialState.RUNNING
        trial = self.optuna.trial.create_trial(state=running, intermediate_values=self.values)
        return bool(self.pruner.prune(self.study, trial))


def optuna_threshold() -> Peer:
    return Optuna("Optuna ThresholdPruner, train, upper 2x start", on="train")


def optuna_patient() -> Peer:
    return Optuna("Optuna PatientPruner, eval, patience 3", on="eval")


class River(Peer):
    """A change detector at its defaults, told the train losses that are numbers; only a rise counts."""

    acts = "reports"

    def __init__(self, name: str, kind: str) -> None:
        from river import drift  # noqa: PLC0415

        self.name, self.source, self.kind = name, own("river"), kind
        self.make = getattr(drift, kind)

    def reset(self) -> None:
        self.detector = self.make(mode="up") if self.kind == "PageHinkley" else self.make()

    def row(self, step: float, loss: float) -> Event | None:
        if not math.isfinite(loss):
            return None
        before = self.detector.estimation if self.kind == "ADWIN" else -math.inf
        self.detector.update(loss)
        rose = self.kind != "ADWIN" or self.detector.estimation > before
        return Event(step, DIVERGENCE) if self.detector.drift_detected and rose else None


def river_page_hinkley() -> Peer:
    return River("river PageHinkley, rise", "PageHinkley")


def river_adwin() -> Peer:
    return River("river ADWIN, rise", "ADWIN")


MAKERS: dict[str, Maker] = {
    "Lightning EarlyStopping, train, divergence_threshold 2x start": lightning_train,
    "Lightning EarlyStopping, eval, patience 3": lightning_eval,
    "Keras EarlyStopping, eval, patience 0": keras_patience,
    "Keras TerminateOnNaN": keras_nan,
    "transformers EarlyStoppingCallback": Transformers,
    "Optuna ThresholdPruner, train, upper 2x start": optuna_threshold,
    "Optuna PatientPruner, eval, patience 3": optuna_patient,
    "river PageHinkley, rise": river_page_hinkley,
    "river ADWIN, rise": river_adwin,
}


def all_installed() -> tuple[list[Peer], dict[str, str]]:
    """The peers whose classes could be had, and why not for each other one."""
    peers: list[Peer] = []
    failed: dict[str, str] = {}
    for name, make in MAKERS.items():
        try:
            peers.append(make())
        except Exception as error:  # noqa: BLE001 - a peer that breaks on import must not stop the others
            failed[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
    return peers, failed

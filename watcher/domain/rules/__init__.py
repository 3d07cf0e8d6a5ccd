"""The rules that this program knows. A newcomer adds one file beside this and one line to `RULES`."""

from typing import Any

from watcher.domain.rules.budget import Budget
from watcher.domain.rules.cancellation import Cancellation
from watcher.domain.rules.completion import Completion
from watcher.domain.rules.deleted import Deleted
from watcher.domain.rules.divergence import Divergence
from watcher.domain.rules.drift import DriftRule
from watcher.domain.rules.early_stop import EarlyStop
from watcher.domain.rules.event_warning import EventWarning
from watcher.domain.rules.failure import Failure
from watcher.domain.rules.gradient import Gradient
from watcher.domain.rules.loss_spike import LossSpike
from watcher.domain.rules.nan_loss import NanLoss
from watcher.domain.rules.overfitting import Overfitting
from watcher.domain.rules.plateau import Plateau
from watcher.domain.rules.provider_unreachable import ProviderUnreachable
from watcher.domain.rules.queue_time import QueueTime
from watcher.domain.rules.refund import Refund
from watcher.domain.rules.stall import Stall
from watcher.domain.rules.watcher_fault import WatcherFault

RULES: tuple[type[Any], ...] = (
    Divergence,
    NanLoss,
    Plateau,
    Overfitting,
    Gradient,
    LossSpike,
    EarlyStop,
    Completion,
    Refund,
    Failure,
    Cancellation,
    EventWarning,
    Deleted,
    Stall,
    QueueTime,
    Budget,
    DriftRule,
    ProviderUnreachable,
    WatcherFault,
)

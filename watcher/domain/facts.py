"""What a message, a route and a page need to know of a job at the moment of a transition: plain and small."""

from dataclasses import dataclass, field
from datetime import datetime

from watcher.domain.billing import Meter
from watcher.domain.checkpoints import Choice
from watcher.domain.observations import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """A job as it was when something happened. Text is as the API gave it: untrusted.

    `price_nano` is in nano-dollars, `last_loss` and `best_eval` in nats where finite, `sparkline` block characters.
    `cancel` says in a sentence what the cancel policy will do about it, or is empty. `fresh_at` is when the newest row
    came in, `checkpoint_step` the newest saved step, `choice` the one to go on from, `go_on` the command that does,
    `saved_unplaced` how many are saved at steps that are not known; `log_read_at` is when the log that tells of them
    was read last. `restarted` and `priced_late` are as in `Meter`. `proposal_id` is set where this transition is about
    a proposal; `proposal_round` and `deadline_at`, the earliest end of the window, where it announces one.
    """

    account: str
    job_id: str
    selection: str = ""
    model: str = ""
    suffix: str = ""
    user_id: str = ""
    status: str = ""
    health: str = ""
    step: int | None = None
    total_steps: int | None = None
    last_loss: float | None = None
    best_eval: float | None = None
    best_eval_step: int | None = None
    price_nano: int | None = None
    checkpoint_step: int | None = None
    sparkline: str = ""
    link: str = ""
    cancel: str = ""
    cancel_mode: str = ""
    vetoed: bool = False
    running: bool = True
    seconds_per_step: float | None = None
    fresh_at: datetime | None = None
    choice: Choice = field(default_factory=Choice)
    saved_unplaced: int = 0
    log_read_at: datetime | None = None
    go_on: str = ""
    restarted_from: str = ""
    early_stopped: bool = False
    restarted: bool = False
    priced_late: bool = False
    proposal_id: str = ""
    proposal_round: int = 0
    deadline_at: datetime | None = None

    @property
    def label(self) -> str:
        """The name that people know it by: the suffix, else the id."""
        return self.suffix or self.job_id

    @property
    def meter(self) -> Meter:
        """What its bill is computed from."""
        status = Status.named(self.status)
        return Meter(
            status=status,
            price_nano=self.price_nano,
            done=self.step,
            planned=self.total_steps,
            seconds_per_step=self.seconds_per_step,
            early_stopped=self.early_stopped,
            restarted=self.restarted,
            gone=not (self.running or status.terminal),
            priced_late=self.priced_late,
        )

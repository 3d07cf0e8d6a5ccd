"""What the store has of one account's jobs: which are open and not in memory, which of those can't wait for a sweep."""

from watcher.service.ports import Reads, Store
from watcher.service.records import JobKey, JobRecord, KnownJob, ProposalState
from watcher.service.restarted import Restarts
from watcher.service.waits import Waits


class Shelf:
    """Open jobs stay in the store until a sweep comes to them: ten thousand are known within a second of a start."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = False
        self.closed: set[str] = set()
        self.unloaded: set[str] = set()
        """Open jobs that are in the store and not in memory: at the start, and after a failure on the way."""
        self.urgent: set[str] = set()
        """Of those, jobs about which something is under way: a cancel, a restart under another id, an end."""
        self.waits = Waits()
        self.restarts = Restarts()

    def forget(self) -> None:
        """Everything is asked of the store again."""
        self.closed.clear()
        self.unloaded.clear()
        self.urgent.clear()
        self._known = False

    async def recall(self, account: str) -> None:
        """Learn which jobs the store has, unless that is known.

        Raises:
            StoreError: nothing was read.
        """
        if self._known:
            return
        known, origins, asked = await self._store.read(lambda reads: _read(reads, account))
        for job in reversed(known):  # the newest wait is the last one noted
            self.waits.note(job)
        for record in reversed(origins):
            self.restarts.note(record)
        self.closed |= {job.job_id for job in known if job.closed}
        self.unloaded |= {job.job_id for job in known if not job.closed}
        self.urgent |= {job.job_id for job in known if not job.closed and (job.ended or job.job_id in asked)}
        self._known = True

    def put_back(self, job_id: str) -> None:
        """What memory had of a job is not to be trusted: the store has it."""
        self.unloaded.add(job_id)

    def taken(self, job_id: str) -> None:
        """A job was loaded, or need not be."""
        self.unloaded.discard(job_id)
        self.urgent.discard(job_id)


def _read(reads: Reads, account: str) -> tuple[list[KnownJob], list[JobRecord], set[str]]:
    known = reads.known_jobs(account)
    found = (reads.job(JobKey(account, job.job_id)) for job in known if job.successor)
    open_states = [state for state in ProposalState if state.open]
    asked = {p.key.job_id for p in reads.proposals(states=open_states) if p.key.account == account}
    return known, [record for record in found if record is not None], asked

"""Together AI: its fine-tuning API over HTTP, and what its answers mean."""

from watcher.providers.together.client import TogetherProvider
from watcher.providers.together.transport import Limits

__all__ = ["Limits", "TogetherProvider"]

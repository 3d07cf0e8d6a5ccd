"""Watches fine-tuning jobs on Together AI, tells the right people, and stops hopeless jobs when it was allowed to."""

__version__ = "0.1.0"

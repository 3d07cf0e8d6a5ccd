"""A stand-in for Together's fine-tuning API that serves recorded training runs; it imports nothing of the watcher.

It is written from the published description of the API alone, so that client and simulator do not share a mistake.
"""

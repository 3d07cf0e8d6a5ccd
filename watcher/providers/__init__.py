"""Adapters to the services whose jobs are watched."""

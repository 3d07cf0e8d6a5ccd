"""Rivals of our detection rules, each behind the same small interface."""

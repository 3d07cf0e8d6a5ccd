"""Tells people: message formats, targets behind Apprise, and the console."""

"""The web server: JSON API, probes, metrics and the page, all of it read-only."""

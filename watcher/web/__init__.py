"""The web server: page, JSON API, probes and metrics for all; orders for those who have the token."""

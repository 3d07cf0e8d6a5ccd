"""The flow: sweep, router, dispatcher, cancels and the read model, written against the ports of `ports.py`."""

"""The command line: parses, calls, prints. What is decided, is decided elsewhere."""

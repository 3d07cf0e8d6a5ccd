"""Pure functions from a message to the text, Markdown and HTML of one notification."""

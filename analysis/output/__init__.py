"""Parts as plain data, and what shows them: a terminal, files, a page."""

"""Pages to look at: the report as one file of HTML, and the log to browse."""

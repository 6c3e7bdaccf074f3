"""The text of files, one module a kind."""

"""The resident process: commands that start as forks of one that has everything loaded."""

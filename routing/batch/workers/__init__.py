"""Processes beside the run's own that decide rows and make their calls; money, order and results stay with the run."""

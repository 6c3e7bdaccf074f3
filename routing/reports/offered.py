"""What of the log the shell is offered while a command line is typed."""

from __future__ import annotations

from scrimp.routing.ledger.offered import calls_unsettled, requests_beginning, runs_beginning, tags_beginning

__all__ = ["calls_unsettled", "requests_beginning", "runs_beginning", "tags_beginning"]

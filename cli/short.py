"""`scrimp spend --short`: one line for a shell prompt, before anything that takes time is imported."""

from __future__ import annotations

import os
import time

__all__ = ["run_short"]


def run_short(words: list[str]) -> int | None:
    """Print the line and return the exit code; None when the words ask for more than this can do.

    Parameters
    ----------
    words
        What follows `spend --short`: nothing, or `-p NAME`.
    """
    if words and not (len(words) == 2 and words[0] in ("-p", "--profile")):
        return None
    profile = words[1] if words else os.environ.get("SCRIMP_PROFILE")
    if profile is not None and ("/" in profile or profile.endswith(".toml")):
        return None
    from scrimp.profiles.errors import ExitCode, ScrimpError
    from scrimp.profiles.paths import paths
    from scrimp.routing.reports.status_line import short_line

    from .result import say, write_out

    try:
        line = short_line(paths().ledger, profile, now=time.time())
    except ScrimpError as error:
        say(error.message)
        return int(error.exit_code)
    try:
        write_out(line + "\n")
    except BrokenPipeError:
        return int(ExitCode.CLOSED_PIPE)
    except ScrimpError as error:
        say(error.message)
        return int(error.exit_code)
    return 0

"""The tree of errors a user can meet, and the exit codes that go with them."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

__all__ = [
    "ArmUnavailableError",
    "AuthError",
    "BudgetRefusedError",
    "CheckFailedError",
    "ConfigError",
    "DataError",
    "ExitCode",
    "GuardRefusedError",
    "LedgerError",
    "ProviderError",
    "RequestRefusedError",
    "ScrimpError",
    "TooLongError",
    "TryAgainError",
    "UsageError",
]


class ExitCode(IntEnum):
    """What scrimp's exit status means; documented in docs/exit-codes.md."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    BUDGET = 3
    AUTH = 4
    PROVIDER = 5
    BATCH_FAILURES = 6
    CHECK_FAILED = 7
    GUARD = 9
    TRY_AGAIN = 75
    CONFIG = 78
    HUNG_UP = 129
    INTERRUPTED = 130
    CLOSED_PIPE = 141
    TERMINATED = 143


class ScrimpError(Exception):
    """Say what went wrong and what to do next; never shown with a traceback unless `--debug`.

    Parameters
    ----------
    message
        What went wrong, in one sentence, naming file, line and field where there is one.
    hint
        What the user can do next; printed on its own line.

    Attributes
    ----------
    partial
        What had come of an answer that broke off: it is paid for, and no answer.
    """

    exit_code: ExitCode = ExitCode.UNEXPECTED
    partial: str = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how it is made again in another process, whatever its class is made from."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[ScrimpError], args: tuple[object, ...], values: dict[str, object]) -> ScrimpError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(values)
    return error


class UsageError(ScrimpError):
    """The command line asks for something that cannot be done (exit 2)."""

    exit_code = ExitCode.USAGE


class ArmUnavailableError(UsageError):
    """No arm can take the prompt, for reasons other than money (exit 2)."""


class TooLongError(ArmUnavailableError):
    """The prompt is longer than the context window of every arm (exit 2)."""


class BudgetRefusedError(ScrimpError):
    """A cap leaves too little for the call (exit 3)."""

    exit_code = ExitCode.BUDGET


class AuthError(ScrimpError):
    """A key is missing, or the provider refused it (exit 4)."""

    exit_code = ExitCode.AUTH


class ProviderError(ScrimpError):
    """The provider failed after retries and fallbacks (exit 5)."""

    exit_code = ExitCode.PROVIDER


class RequestRefusedError(ProviderError):
    """The provider refused what was asked, and would again (exit 5): it is no failure of the provider's."""


class CheckFailedError(ScrimpError):
    """The answer failed its checks (exit 7)."""

    exit_code = ExitCode.CHECK_FAILED


class GuardRefusedError(ScrimpError):
    """A guard of the profile refuses the prompt: nothing was sent (exit 9).

    Attributes
    ----------
    decision
        What had been decided before it was refused, as a `Decision`; None where it was refused before that.
    """

    exit_code = ExitCode.GUARD
    decision: Any = None


class TryAgainError(ScrimpError):
    """A lock is held or a rate limit stands: the same call may succeed later (exit 75)."""

    exit_code = ExitCode.TRY_AGAIN


class ConfigError(ScrimpError):
    """A profile, key file or other configuration is wrong (exit 78)."""

    exit_code = ExitCode.CONFIG


class DataError(ScrimpError):
    """A data file is malformed (exit 78)."""

    exit_code = ExitCode.CONFIG


class LedgerError(ScrimpError):
    """The ledger cannot be read or written (exit 78): without it nothing is sent."""

    exit_code = ExitCode.CONFIG

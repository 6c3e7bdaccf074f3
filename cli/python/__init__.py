"""Send each prompt to the cheapest model that will do the job, under caps that hold: scrimp from Python.

`docs/python.md` says how. What stands here is imported when it is first asked for, so that `import scrimp` costs
nothing: the command line goes through it too.
"""

TYPE_CHECKING = False  # type checkers take it for typing's, whose import takes a millisecond
if TYPE_CHECKING:
    from scrimp.profiles.errors import (
        ArmUnavailableError,
        AuthError,
        BudgetRefusedError,
        CheckFailedError,
        ConfigError,
        DataError,
        ExitCode,
        GuardRefusedError,
        LedgerError,
        ProviderError,
        ScrimpError,
        TryAgainError,
        UsageError,
    )

    from .accounts import Cap, Rating, Spending, SpendingRow
    from .client import Scrimp
    from .results import Answer, CheckResult, Passage, ReadFile, Route, RoutedArm

    __version__: str

__all__ = [
    "Answer",
    "ArmUnavailableError",
    "AuthError",
    "BudgetRefusedError",
    "Cap",
    "CheckFailedError",
    "CheckResult",
    "ConfigError",
    "DataError",
    "ExitCode",
    "GuardRefusedError",
    "LedgerError",
    "Passage",
    "ProviderError",
    "Rating",
    "ReadFile",
    "Route",
    "RoutedArm",
    "Scrimp",
    "ScrimpError",
    "Spending",
    "SpendingRow",
    "TryAgainError",
    "UsageError",
    "__version__",
]

_WHERE = {
    "Scrimp": "client",
    **dict.fromkeys(("Answer", "CheckResult", "Passage", "ReadFile", "Route", "RoutedArm"), "results"),
    **dict.fromkeys(("Cap", "Rating", "Spending", "SpendingRow"), "accounts"),
}
"""Where what is no error is defined."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value: object
    if name == "__version__":
        value = importlib.import_module("importlib.metadata").version("scrimp")
    else:
        value = getattr(importlib.import_module(f"scrimp.{_WHERE.get(name, 'profiles.errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

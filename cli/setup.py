"""`scrimp setup`: questions on a terminal that end in a profile."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from scrimp.profiles.errors import ConfigError, UsageError
from scrimp.profiles.paths import paths

from . import session
from .parser import new_app
from .result import say

if TYPE_CHECKING:
    from scrimp.profiles.draft import Draft

    from .interview import Found

__all__ = ["app"]

app = new_app()

SAMPLE: Final = "Why is the sky blue?"

EPILOG: Final = """\b
Examples:
  scrimp setup                  asks; Enter takes what stands in brackets
  scrimp setup --yes            asks nothing
"""


@app.command(epilog=EPILOG)
def setup(
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Take every default, and ask nothing.")] = False,
) -> int:
    """Find keys and local servers, ask what you want, write a profile, and make it the default.

    Nothing is written before the last question, and nothing is sent but to servers on this machine, which are asked
    what they serve. Run it again to change your mind: a file is never replaced unasked.
    """
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "setup asks questions, and this is no terminal",
            hint="`scrimp setup --yes` takes every default; `scrimp profile init NAME` writes a starter file.",
        )
    from scrimp.profiles.draft import drafted, in_toml

    from .interview import Interview, find

    found = find(session.keys(), os.environ, paths())
    try:
        interview = Interview(found, session.price_table(), paths(), yes=yes)
        draft = interview.draft()
        text = in_toml(draft)
        drafted(draft)  # whatever was answered, no file is written that cannot be loaded
        say("", mark="")
        say(text.rstrip("\n"), mark="")
        interview.last_word(draft)
    except (EOFError, KeyboardInterrupt, typer.Abort):
        say("\nnothing was written", mark="")
        raise KeyboardInterrupt from None
    _write(draft, text, found)
    return _first_route(draft)


def _write(draft: Draft, text: str, found: Found) -> None:
    """Write the profile and the keys that were typed, and make it the default."""
    from scrimp.profiles.choice import use_profile
    from scrimp.profiles.files import store_own
    from scrimp.profiles.from_llm import take_over
    from scrimp.profiles.keys import set_key

    for name, key in found.typed.items():
        where = set_key(name, key.reveal(), paths(), env=os.environ)
        say(f"stored {name} in {'the system keyring' if where == 'keyring' else paths().keys}")
    if found.llm is not None:
        for line in take_over(found.llm, paths(), os.environ, known=_has_price):
            say(line)
    file = paths().profiles / f"{draft.name}.toml"
    store_own(file, text.encode())
    use_profile(draft.name, paths())
    if draft.of == ("local",):
        say("when there is a key: scrimp keys set openai (any provider's name), and scrimp setup again")
    if os.environ.get("SCRIMP_PROFILE"):
        say(f"note that SCRIMP_PROFILE is set to {os.environ['SCRIMP_PROFILE']}, and wins")
    say(f"wrote {file}; it is used where nothing else is said (undone by: scrimp profile use --auto)")


def _has_price(model: str) -> bool:
    from scrimp.profiles.schema import Arm

    return session.price_table().price(Arm(name="asked", model=model)) is not None


def _first_route(draft: Draft) -> int:
    """Show which arm a sample prompt would go to; nothing is sent."""
    from .route import route

    session.keys.cache_clear()
    say(f'where a prompt would go now: scrimp route "{SAMPLE}"')
    try:
        return route(prompt=[SAMPLE], profile=draft.name)
    except ConfigError as error:
        say(error.message)
        return 0

"""Every command there is, by its words: for tests of what holds in all of them."""

from scrimp.cli.app import COMMANDS, command


def _below(words, each):
    yield words, each
    for name, inner in getattr(each, "commands", {}).items():
        yield from _below((*words, name), inner)


ALL = {words: each for name in COMMANDS for words, each in _below((name,), command(name))}
"""Commands and groups of them, by their words without the first, `scrimp`."""

"""README.md and docs/ are true: what they show of commands is what comes of them, and what they name is accepted."""

import re

import pytest
from console_blocks import pages, read_page, run_page, scrimps, shell_lines

PAGES = {page.relative_to(page.parents[0 if page.name == "README.md" else 1]).as_posix(): page for page in pages()}
WITH_BLOCKS = [name for name, page in PAGES.items() if any(step.commands for step in read_page(page.read_text()))]


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_BLOCKS)
def test_what_a_page_shows_comes_of_its_commands(name):
    said, _ = run_page(PAGES[name])
    assert not said, "\n\n".join(["python tests/console_blocks.py --update mends it, where what came is right", *said])


def test_few_blocks_are_not_run():
    """Each has its reason, and what it holds has a test elsewhere."""
    not_run = [
        (name, step.not_run) for name in WITH_BLOCKS for step in read_page(PAGES[name].read_text()) if step.not_run
    ]
    assert not_run == [
        ("docs/resident.md", "a resident serves processes on a terminal, which tests/cli/test_resident_life.py are"),
    ]


def test_every_page_with_a_block_is_typed():
    """What looks like a terminal's screen is in a block of ```console, so that it is run."""
    for name, page in PAGES.items():
        text = page.read_text()
        n_typed = sum(command.shown is not None for step in read_page(text) for command in step.commands)
        assert n_typed == len(re.findall(r"^\s*\$ ", text, re.MULTILINE)) - text.count("<!-- $ "), name


class ReadError(BaseException):
    """Raised where a command would begin: its line has been read, and nothing of it is run."""


@pytest.fixture
def reads(scrimp, monkeypatch):
    """Have scrimp read a command line: None where it takes it, else what it says."""
    from typer._click.core import Command

    whole = Command.invoke

    def invoke(command, context):
        if context.invoked_subcommand is None:
            raise ReadError
        return whole(command, context)

    monkeypatch.setattr(Command, "invoke", invoke)

    def read(argv):
        try:
            done = scrimp(*argv)
        except ReadError:
            return None
        return done.err or f"ended with {done.code}: {done.out}"

    return read


def test_the_reader_of_command_lines_can_fail(reads):
    assert reads(["ask", "-p", "work", "hello"]) is None
    assert "--no-such" in reads(["ask", "--no-such", "hello"])
    assert "--wtp" in reads(["replay", "--wtp", "much"])
    assert reads(["log", "show", "last"]) is None
    assert reads(["log", "-n", "5"]) is None


@pytest.mark.parametrize("name", PAGES)
def test_every_command_line_of_a_page_is_accepted(reads, name):
    typed = [(line, argv) for line, text in shell_lines(PAGES[name].read_text()) for argv in scrimps(text)]
    refused = [f"{name}:{line}: scrimp {' '.join(argv)}\n{said}" for line, argv in typed if (said := reads(argv))]
    assert not refused, "\n".join(refused)

"""README.md and docs/ are true: what they show of commands is what comes of them, and what they name is accepted."""

import re

import pytest
from console_blocks import pages, read_page, run_page, scrimps, shell_lines

PAGES = {page.relative_to(page.parents[0 if page.name == "README.md" else 1]).as_posix(): page for page in pages()}
WITH_BLOCKS = [name for name, page in PAGES.items() if any(step.commands for step in read_page(page.read_text()))]


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_BLOCKS)
def test_what_a_page_shows_comes_of_its_commands(name, tmp_path):
    said, _ = run_page(PAGES[name], tmp_path)
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


def check(argv):
    """Have scrimp's parser read a command line, up to where the command would begin."""
    from scrimp.cli.app import app
    from typer.main import get_command

    command, name, args, context = get_command(app), "scrimp", list(argv), None
    while True:
        context = command.make_context(name, args, parent=context)
        if not hasattr(command, "resolve_command"):
            return
        name, command, args = command.resolve_command(context, context.protected_args + context.args)

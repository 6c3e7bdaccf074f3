# The recipes people repeat. `just` lists them.

default:
    @just --list

# everything CI runs
check:
    bash .ci/run

# the tests
test *ARGS:
    uv run pytest {{ARGS}}

# lint and types
lint:
    uv run ruff check .
    uv run ruff format --check .
    uv run mypy
    uv run pyright

# regenerate docs/commands.md, the man page and the completion scripts
docs:
    uv run python -m scrimp.cli.manual

# start-up and decision times, as ratios against bare scripts
bench *ARGS:
    uv run python bench/startup.py {{ARGS}}

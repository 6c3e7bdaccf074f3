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

# write the golden screens of tests/golden anew; look at the difference
screens:
    SCRIMP_GOLDEN=write uv run pytest -q -n 0 tests/cli/test_screens.py

# start-up and decision times, as ratios against bare scripts
bench *ARGS:
    uv run python bench/startup.py {{ARGS}}

# scrimp's wheel and that of the local model's weights, into dist/
wheels:
    uv run python -m build --no-isolation --wheel -o dist .
    uv run python -m build --no-isolation --wheel -o dist routing/weights/smollm2

# install those wheels by uvx, uv tool, pipx, pip and from a clone, in empty homes, and ask each time (needs the registries)
four-ways *ARGS:
    uv run python tests/packaging/four_ways.py {{ARGS}}

# the README's first picture: a terminal session, run and drawn as docs/first-screen.svg
recording:
    uv run python bench/recording.py

# rewrite what the console blocks of README.md and docs/ show, by running them; `--check` only says what has drifted
pages *ARGS="--update":
    uv run python tests/console_blocks.py {{ARGS}}

"""Where things live: platformdirs, unless SCRIMP_HOME moves everything."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Paths", "make_private_dir", "paths", "working_folder"]


@dataclass(frozen=True, slots=True)
class Paths:
    """The folders and files of one user's scrimp."""

    config: Path
    state: Path
    cache: Path

    @property
    def profiles(self) -> Path:
        """The user's own profiles, one TOML file each."""
        return self.config / "profiles"

    @property
    def in_use(self) -> Path:
        """The name of the profile that `scrimp profile use` made the default."""
        return self.config / "profile"

    @property
    def said(self) -> Path:
        """What was said today, and is not said again."""
        return self.state / "said"

    @property
    def keys(self) -> Path:
        """The key file (0600)."""
        return self.config / "keys.toml"

    @property
    def aliases(self) -> Path:
        """The user's own names for arms and models (0600)."""
        return self.config / "aliases.toml"

    @property
    def templates(self) -> Path:
        """The user's own templates of prompts, a file each."""
        return self.config / "templates"

    @property
    def prices(self) -> Path:
        """The user's own price table (0600); it wins over the one that comes with LiteLLM."""
        return self.config / "prices.json"

    @property
    def abilities(self) -> Path:
        """The user's own table of models' abilities (0600); it wins over the one that ships."""
        return self.config / "abilities.json"

    @property
    def hints(self) -> Path:
        """The user's own hints, one Markdown file for each kind of prompt."""
        return self.config / "hints"

    @property
    def ledger(self) -> Path:
        """The SQLite ledger (0600)."""
        return self.state / "scrimp.db"

    @property
    def typed(self) -> Path:
        """What was typed in `chat` (0600)."""
        return self.state / "typed.jsonl"

    @property
    def batches(self) -> Path:
        """What runs of `batch` keep: standard input, and journals whose rows may be asked again."""
        return self.state / "batches"

    @property
    def deliveries(self) -> Path:
        """Outputs of `batch` that go elsewhere (a URL, Parquet), until they are there; their journals."""
        return self.state / "deliveries"

    @property
    def responses(self) -> Path:
        """The cached answers of `batch --cache` (0600)."""
        return self.cache / "responses.db"

    @property
    def vectors(self) -> Path:
        """Embeddings of prompts that `eval` and `train` have met."""
        return self.cache / "vectors"

    @property
    def abouts(self) -> Path:
        """Where vectors of what arms are for are remembered."""
        return self.cache / "abouts"

    @property
    def pages(self) -> Path:
        """Pages of the log that were opened in a browser: private, and gone after a day."""
        return self.cache / "pages"

    @property
    def machine(self) -> Path:
        """How fast this machine is, and how large the models in its files are (0600)."""
        return self.cache / "machine.json"

    @property
    def routers(self) -> Path:
        """Learned router versions, one folder each."""
        return self.state / "routers"


def paths(env: Mapping[str, str] | None = None) -> Paths:
    """Return where things live for this environment (`os.environ` when None).

    Raises
    ------
    ConfigError
        If that cannot be told: there is no home folder, or SCRIMP_HOME leads from a folder that is gone.
    """
    env = os.environ if env is None else env
    home = env.get("SCRIMP_HOME")
    if home:
        try:
            root = Path(home).expanduser().absolute()
        except (OSError, RuntimeError):  # no working directory; no such user
            raise ConfigError(
                f"SCRIMP_HOME is {home!r}, and what that starts from cannot be found",
                hint="Set it to a folder's whole path, from / on.",
            ) from None
        return Paths(config=root, state=root, cache=root / "cache")
    import platformdirs

    places = (platformdirs.user_config_dir, platformdirs.user_state_dir, platformdirs.user_cache_dir)
    try:
        config, state, cache = (Path(place("scrimp")) for place in places)
    except RuntimeError:
        config = state = cache = Path()
    if not (config.is_absolute() and state.is_absolute() and cache.is_absolute()):
        # A relative one would be another home, with caps of its own, in each folder that scrimp is called from.
        raise ConfigError(
            "your home folder is not known: HOME is not set to a whole path",
            hint="Set HOME, or SCRIMP_HOME to a folder of yours.",
        )
    return Paths(config=config, state=state, cache=cache)


def working_folder() -> Path:
    """Return the working directory; where it is gone, an empty path, from which nothing is found."""
    try:
        return Path.cwd()
    except OSError:
        return Path()


def make_private_dir(folder: Path) -> None:
    """Make a folder, and its parents, readable by its owner only; an existing folder is left as it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)

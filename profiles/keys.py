"""Keys: where they are kept, which one belongs to an arm, and a type that does not print them."""

from __future__ import annotations

import contextlib
import json
import re
import stat
import tomllib
import weakref
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from .credentials import OWN_WAY, seen
from .errors import AuthError, ConfigError, UsageError
from .files import hold, replacing
from .installer import how_to_add
from .paths import make_private_dir
from .reading import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from .paths import Paths
    from .schema import Arm

__all__ = [
    "KeyStatus",
    "Keys",
    "Secret",
    "all_secrets",
    "key_names",
    "known_secrets",
    "known_variables",
    "list_keys",
    "looks_secret",
    "provider_keys",
    "provider_of",
    "remove_key",
    "resolve_key",
    "set_key",
]

KeyStatus = Literal["present", "missing", "command", "not needed", "not seen"]
"""Of an arm's key. "not seen": it has none of its own, and what its provider's tools use may be there all the same."""

_NO_KEY: Final = frozenset(
    {"local", "ollama", "ollama_chat", "llamafile", "lm_studio", "hosted_vllm", "vllm", "oobabooga", "xinference"}
)
"""Providers that run on the user's own machines."""

_KEY_NAMES: Final = {
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "google": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "together_ai": ("TOGETHERAI_API_KEY", "TOGETHER_API_KEY", "TOGETHER_AI_API_KEY"),
    "fireworks_ai": ("FIREWORKS_AI_API_KEY", "FIREWORKS_API_KEY"),
    "perplexity": ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
    "cohere_chat": ("COHERE_API_KEY", "CO_API_KEY"),
    "huggingface": ("HF_TOKEN", "HUGGINGFACE_API_KEY"),
    "dashscope": ("DASHSCOPE_API_KEY",),
    "nvidia_nim": ("NVIDIA_NIM_API_KEY", "NVIDIA_API_KEY"),
    "text-completion-openai": ("OPENAI_API_KEY",),
    "bedrock": ("AWS_BEARER_TOKEN_BEDROCK",),
    "bedrock_converse": ("AWS_BEARER_TOKEN_BEDROCK",),
}
"""The variables that hold a provider's key, where it is not simply PROVIDER_API_KEY."""

_BARE: Final = (
    (re.compile(r"(gpt-|o\d|chatgpt-|ft:)"), "openai"),
    (re.compile(r"claude-"), "anthropic"),
    (re.compile(r"command-"), "cohere"),
)
"""Providers of models that LiteLLM accepts without a prefix."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SECRET_NAME: Final = re.compile(r"(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)(_|$)", re.IGNORECASE)
_MAX_KEY: Final = 8192
_MIN_SECRET: Final = 8
_COMMAND_TIMEOUT_S: Final = 30.0
_KEYRING_SERVICE: Final = "scrimp"


class Secret:
    """A key that does not show itself: `str` and `repr` are masked, `reveal` is asked for on purpose.

    Parameters
    ----------
    value
        The key.
    source
        Where it came from, such as "OPENAI_API_KEY" or "key_cmd"; this may be shown.
    """

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str = "") -> None:
        self._value = value
        self.source = source

    def reveal(self) -> str:
        """Return the key itself."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret(***, source={self.source!r})"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __reduce__(self) -> str:
        msg = "a key is never pickled"
        raise TypeError(msg)


def provider_of(arm: Arm) -> str:
    """Return an arm's provider, also of a model that LiteLLM accepts without a prefix; "" where it is not known."""
    return arm.provider or next((name for start, name in _BARE if start.match(arm.model)), "")


def key_names(arm: Arm) -> tuple[str, ...]:
    """Return the names under which an arm's key is looked for, in order; none when it needs no key.

    An arm with an address of its own and no `key_env` gets none: a provider's key is not sent to a host that the
    provider does not own.
    """
    if arm.key_env is not None:
        return (arm.key_env,)
    provider = provider_of(arm)
    if arm.api_base is not None or provider in _NO_KEY or not provider:
        return ()
    return provider_keys(provider)


def provider_keys(provider: str) -> tuple[str, ...]:
    """Return the variables that a provider's key is looked for under, in order, whatever the arm.

    A provider whose credentials are not one key has none, but for Bedrock, which takes one as well.
    """
    if provider in OWN_WAY and provider not in _KEY_NAMES:
        return ()
    return _KEY_NAMES.get(provider, (re.sub(r"[^A-Z0-9]", "_", provider.upper()) + "_API_KEY",))


class Keys:
    """The keys of one environment and one user, read once.

    Parameters
    ----------
    env
        The environment.
    paths
        Where the key file lives.
    """

    def __init__(self, env: Mapping[str, str], paths: Paths) -> None:
        self._env = dict(env)  # as it was: what LiteLLM must not see, `key_cmd` may need
        self._paths = paths
        self._commands: dict[tuple[str, ...], Secret] = {}
        self._handed: set[str] = set()
        self._variables: set[str] = set()
        _ALIVE.add(self)

    def watch(self, arms: Iterable[Arm]) -> None:
        """Count what the arms' own variables hold among the secrets, whatever the variables are called."""
        self._variables |= {arm.key_env for arm in arms if arm.key_env}

    @property
    def variables(self) -> frozenset[str]:
        """The variables that arms have their keys in (`watch`)."""
        return frozenset(self._variables)

    @cached_property
    def _stored(self) -> dict[str, str | None]:
        """Keys in the file by name; None stands for one in the system keyring."""
        return _read(self._paths.keys)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about the key file."""
        try:
            mode = self._paths.keys.stat().st_mode
        except OSError:
            return ()
        if mode & 0o077:
            return (f"{self._paths.keys} can be read by others: chmod 600 {self._paths.keys}",)
        return ()

    def has(self, name: str) -> bool:
        """Return whether a key of that name is set or stored."""
        return bool(self._env.get(name, "").strip()) or name in self._stored

    def status(self, arm: Arm) -> KeyStatus:
        """Return whether an arm's key is there, without running `key_cmd` or opening a keyring."""
        if arm.key_cmd is not None:
            return "command"
        names = key_names(arm)
        if arm.key_env is None and arm.api_base is None and (provider := provider_of(arm)) in OWN_WAY:
            return "present" if any(map(self.has, names)) or seen(provider, self._env) else "not seen"
        if not names:
            return "not needed"
        return "present" if any(map(self.has, names)) else "missing"

    def resolve(self, arm: Arm) -> Secret | None:
        """Return an arm's key, or None when it needs none or none is there (see `status`).

        Its command comes first, then variables, then stored keys. A command runs once for each instance.

        Raises
        ------
        AuthError
            If the command fails, or a key holds characters that no key has.
        """
        if arm.key_cmd is not None:
            if arm.key_cmd not in self._commands:
                self._commands[arm.key_cmd] = _from_command(arm, self._env)
            return self._commands[arm.key_cmd]
        names = key_names(arm)
        for name in names:
            value = self._env.get(name, "").strip()
            if value:
                self._handed.add(value)
                return _checked(value, name)
        for name in names:
            if name in self._stored:
                stored = self._stored[name] or _keyring_get(name)
                if stored:
                    self._handed.add(stored)
                    return _checked(stored, name)
        return None

    def secrets(self) -> tuple[str, ...]:
        """Return every key known here, longest first, so that texts can be rid of them.

        Keys from commands and keyrings are among them once they have been resolved. Values under 8 characters are left
        out: they would blot out ordinary words.
        """
        found = {
            value for name, value in self._env.items() if looks_secret(name) or name in self._variables
        } | self._handed
        found |= {value.strip() for value in found}
        with contextlib.suppress(ConfigError):
            found |= {value for value in self._stored.values() if value}
        found |= {secret.reveal() for secret in self._commands.values()}
        return tuple(
            sorted((value for value in found if len(value) >= _MIN_SECRET), key=lambda text: (-len(text), text))
        )


_ALIVE: Final[weakref.WeakSet[Keys]] = weakref.WeakSet()


def known_secrets() -> tuple[str, ...]:
    """Return every key that this process has read, longest first: what no text may carry away.

    Keys belong to the process, not to a request: so whoever makes a text that is shown or sent on can ask for them, and
    nothing has to be handed through for it.
    """
    found = {secret for keys in tuple(_ALIVE) for secret in keys.secrets()}
    return tuple(sorted(found, key=lambda text: (-len(text), text)))


def known_variables() -> frozenset[str]:
    """Return the variables that arms of this process have their keys in, whatever they are called."""
    return frozenset(name for keys in tuple(_ALIVE) for name in keys.variables)


def looks_secret(name: str) -> bool:
    """Return whether a variable's name says that it holds a secret."""
    return _SECRET_NAME.search(name) is not None


def resolve_key(arm: Arm, env: Mapping[str, str], paths: Paths) -> Secret | None:
    """Return an arm's key; see `Keys.resolve`."""
    return Keys(env, paths).resolve(arm)


def all_secrets(env: Mapping[str, str], paths: Paths, arms: Iterable[Arm] = ()) -> tuple[str, ...]:
    """Return every key set or stored here, and what the arms' own variables hold; see `Keys.secrets`."""
    own = {env[arm.key_env].strip() for arm in arms if arm.key_env and env.get(arm.key_env)}
    found = {*Keys(env, paths).secrets(), *(value for value in own if len(value) >= _MIN_SECRET)}
    return tuple(sorted(found, key=lambda text: (-len(text), text)))


def list_keys(paths: Paths) -> dict[str, Literal["file", "keyring"]]:
    """Return the names of stored keys, and where each is kept.

    Raises
    ------
    ConfigError
        If the key file cannot be read.
    """
    return {name: "keyring" if value is None else "file" for name, value in sorted(_read(paths.keys).items())}


def set_key(name: str, value: str, paths: Paths, *, env: Mapping[str, str] | None = None) -> Literal["file", "keyring"]:
    """Store a key, in the file or, with SCRIMP_KEYRING=1, in the system keyring; return which.

    Raises
    ------
    UsageError
        If the name is not that of a variable, or the value is not a key.
    ConfigError
        If the file cannot be written, or the keyring is not there.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"not a name for a key: {name!r}", hint="Use the variable's name, such as OPENAI_API_KEY.")
    value = value.strip()
    _check_characters(value, name, UsageError)
    to_keyring = (env or {}).get("SCRIMP_KEYRING", "") not in {"", "0"}
    if to_keyring:
        _keyring().set_password(_KEYRING_SERVICE, name, value)
    with _locked(paths):
        stored = _read(paths.keys)
        stored[name] = None if to_keyring else value
        _write(stored, paths)
    return "keyring" if to_keyring else "file"


def remove_key(name: str, paths: Paths) -> bool:
    """Forget a stored key; return whether there was one.

    Raises
    ------
    ConfigError
        If the file cannot be read or written, or the keyring is not there.
    """
    if name not in _read(paths.keys):
        return False
    with _locked(paths):
        stored = _read(paths.keys)
        if stored.pop(name, "") is None:
            keyring = _keyring()
            with contextlib.suppress(keyring.errors.PasswordDeleteError):
                keyring.delete_password(_KEYRING_SERVICE, name)
        _write(stored, paths)
    return True


def _checked(value: str, name: str) -> Secret:
    _check_characters(value, name, AuthError)
    return Secret(value, name)


def _check_characters(value: str, name: str, error: type[AuthError | UsageError]) -> None:
    if not value:
        raise error(f"{name}: the key is empty")
    if len(value) > _MAX_KEY or not all("!" <= character <= "~" for character in value):
        raise error(
            f"{name}: this is not a key: it has spaces, line breaks or characters outside ASCII, or is very long",
            hint="Paste the key alone, as the provider shows it.",
        )


def _from_command(arm: Arm, env: Mapping[str, str]) -> Secret:
    """Return the first line that an arm's command prints; nothing it prints ever gets into an error."""
    import subprocess

    command: tuple[str, ...] = tuple(arm.key_cmd or ())
    what = f"arm {arm.name!r}: key_cmd ({command[0]})"
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(env),
            timeout=_COMMAND_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AuthError(f"{what} did not finish in {_COMMAND_TIMEOUT_S:.0f} s") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a command"
        raise AuthError(f"{what} cannot be run: {reason}") from None
    if done.returncode != 0:
        raise AuthError(f"{what} failed with exit status {done.returncode}", hint="Run the command by hand to see why.")
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    value = lines[0].strip() if lines else ""
    if not value:
        raise AuthError(f"{what} printed no key on its first line")
    _check_characters(value, what, AuthError)
    return Secret(value, "key_cmd")


def _read(file: Path) -> dict[str, str | None]:
    """Return stored keys by name, None for those in the keyring; nothing of the file ever gets into an error."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise ConfigError(f"{file}: not a file")
        table = tomllib.loads(read_text(file, limit=1 << 20))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        line = re.search(r"at line (\d+)", str(error))
        place = f"{file}:{line[1]}" if line else f"{file}"
        raise ConfigError(f"{place}: not a valid key file", hint='Each line looks like NAME = "value".') from None
    stored: dict[str, str | None] = {}
    for name, value in table.items():
        if isinstance(value, str):
            stored[name] = value.strip()
        elif value == {"backend": "keyring"}:
            stored[name] = None
        else:
            raise ConfigError(f'{file}: {name}: expected text or {{ backend = "keyring" }}')
    return stored


def _write(stored: Mapping[str, str | None], paths: Paths) -> None:
    """Replace the key file in one step; it is 0600 from birth, and never half written."""
    if paths.keys.is_symlink():
        raise ConfigError(f"{paths.keys} is a symbolic link", hint="Edit the file it leads to, or remove the link.")
    lines = ["# Keys of scrimp: keep this file to yourself. `scrimp keys set NAME` adds one.\n"]
    for name, value in sorted(stored.items()):
        lines.append(f"{name} = " + ('{ backend = "keyring" }' if value is None else json.dumps(value)) + "\n")
    try:
        with replacing(paths.keys) as file:
            file.write("".join(lines).encode())
    except OSError as error:
        raise ConfigError(f"{paths.keys}: cannot be written: {error.strerror}") from None


@contextlib.contextmanager
def _locked(paths: Paths) -> Iterator[None]:
    """Hold the key file's lock, so that two `keys set` at once both stay."""
    try:
        make_private_dir(paths.config)
        with hold(paths.config / ".lock"):
            yield
    except OSError as error:
        raise ConfigError(f"{paths.config}: cannot be written: {error.strerror}") from None


def _keyring() -> Any:
    try:
        import keyring  # pyright: ignore[reportMissingImports] - an extra
        import keyring.errors  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ConfigError("the system keyring needs an extra", hint=how_to_add("keyring")) from None
    return keyring


def _keyring_get(name: str) -> str | None:
    keyring = _keyring()
    try:
        value: str | None = keyring.get_password(_KEYRING_SERVICE, name)
    except keyring.errors.KeyringError as error:
        raise AuthError(f"{name}: the system keyring does not answer: {type(error).__name__}") from None
    return value

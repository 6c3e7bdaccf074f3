"""litellm, imported once: quiet, offline, obedient, and sending through our transports.

None of its code is replaced. It is given settings, the clients it would otherwise make for itself, a logging object
that logs nothing with each call, and one object without a setting of its own (`_deafen`).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import sys
import threading
import traceback
import uuid
from typing import TYPE_CHECKING, Any

from scrimp.profiles.addresses import drop_ignored
from scrimp.profiles.collector import paused
from scrimp.profiles.errors import ConfigError

from .learnt import Learnt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .transport import AsyncWatched, Watched

__all__ = ["LiteLLM", "prepare", "prepared"]

_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy", "openai", "httpx", "httpcore", "aiohttp")
_CALLBACKS = (
    "callbacks", "input_callback", "success_callback", "failure_callback", "service_callback",
    "_async_input_callback", "_async_success_callback", "_async_failure_callback",
)  # fmt: skip

UNWATCHED = frozenset({"a2a", "aiohttp_openai", "custom", "nlp_cloud", "petals", "vllm"})
"""Providers that litellm reaches without the clients it is given, or asks in a way that no `Wire` knows.

tests/fault/test_clients.py tries all of litellm's.
"""

_lock = threading.Lock()
_prepared: LiteLLM | None = None


class LiteLLM:
    """What calls need of litellm.

    Attributes
    ----------
    module
        litellm itself; its stubs do not know what it exports.
    transport, async_transport
        What every client of litellm's sends through.
    learnt
        How it composes requests, as far as that was seen.
    """

    def __init__(self, module: Any, transport: Watched, async_transport: AsyncWatched, silent: type[Any]) -> None:
        self.module = module
        self.transport = transport
        self.async_transport = async_transport
        self.learnt = Learnt()
        self._silent = silent

    def watches(self, arguments: dict[str, Any]) -> bool:
        """Return whether the request for a completion goes through our transports."""
        try:
            provider = self.module.get_llm_provider(
                model=arguments["model"],
                custom_llm_provider=arguments.get("custom_llm_provider"),
                api_base=arguments.get("api_base"),
            )[1]
        except Exception:  # noqa: BLE001  # litellm raises what it likes, and sends nothing for a model it does not know
            return True
        return provider not in UNWATCHED

    def unlogged(self, arguments: dict[str, Any], *, is_async: bool) -> dict[str, Any]:
        """Return the arguments of a completion with a logging object of their own, which logs nothing."""
        call_id = str(uuid.uuid4())
        logging_obj = self._silent(
            model=arguments["model"],
            messages=arguments["messages"],
            stream=bool(arguments.get("stream")),
            call_type="acompletion" if is_async else "completion",
            start_time=dt.datetime.now(),  # noqa: DTZ005  # litellm subtracts its own naive times from it
            litellm_call_id=call_id,
            function_id="",
        )
        logging_obj.update_environment_variables(
            model=arguments["model"],
            user="",
            optional_params={},
            litellm_params={"api_base": ""},
            stream_options=arguments.get("stream_options"),  # without them, no stream of litellm's ends with its usage
        )
        return {**arguments, "litellm_logging_obj": logging_obj, "litellm_call_id": call_id}


def prepared() -> LiteLLM | None:
    """Return litellm if `prepare` has been through."""
    return _prepared


def prepare() -> LiteLLM:
    """Import litellm and set it up; at once when that is done already.

    Its price table is not fetched, no `.env` is read, nothing is printed, no callback runs, no log record is written.
    What the environment says of addresses is taken out of it each time: it is read as late as in the call itself.

    Raises
    ------
    ConfigError
        If a variable holds what LiteLLM cannot read.
    """
    global _prepared  # noqa: PLW0603  # a module is imported once in a process
    drop_ignored(os.environ)
    if _prepared is None:
        with _lock:
            if _prepared is None:
                with paused():
                    _prepared = _prepare()
    return _prepared


def _prepare() -> LiteLLM:
    import warnings

    with warnings.catch_warnings(), _without_tls_settings():
        warnings.simplefilter("ignore")
        try:
            import litellm
        except BaseException as error:
            _forget()
            if isinstance(error, ValueError):
                raise _unreadable(error) from None
            raise

    _hush(warnings)
    _deafen()
    options: Any = litellm
    options.suppress_debug_info = True
    options.set_verbose = False
    options.drop_params = False
    options.modify_params = False
    options.num_retries = None
    options.cache = None
    options.disable_streaming_logging = True
    options.disable_aiohttp_trust_env = True  # our transports choose the proxies
    options.REPEATED_STREAMING_CHUNK_LIMIT = sys.maxsize  # an answer may say "ha" a hundred times
    for name in _CALLBACKS:
        if isinstance(getattr(options, name, None), list):
            getattr(options, name).clear()
    transport, async_transport = _give_clients(options)
    return LiteLLM(litellm, transport, async_transport, _silent_logging())


def _forget() -> None:
    """Leave nothing of an import that ended in the middle: the next one would stumble over its parts, and say so.

    It may have been ahead of need, in a thread of its own, where warnings became errors for a moment.
    """
    for name in [name for name in sys.modules if name.partition(".")[0] == "litellm"]:
        del sys.modules[name]


def _unreadable(error: ValueError) -> ConfigError:
    """Return the error for a variable that LiteLLM cannot read as it is imported: its name stands on that line."""
    (*_, last) = traceback.extract_tb(error.__traceback__)
    quoted = re.findall(r"[\"']([A-Z][A-Z0-9_]+)[\"']", last.line or "")
    names = [name for name in quoted if name in os.environ]
    return ConfigError(
        f"LiteLLM cannot be loaded: {error}",
        hint=f"Unset {' and '.join(names)}, or mend what it says." if names else "Install scrimp again.",
    )


@contextlib.contextmanager
def _without_tls_settings() -> Iterator[None]:
    """Hide what the environment says of certificates while libraries are imported.

    Some make TLS contexts then, and would fail on a file that is not there: but a call to this machine needs no TLS,
    and one that does must say what is wrong. Our transports make their own, of all the settings.
    """
    from .transport import TLS_VARIABLES

    hidden = {name: os.environ.pop(name) for name in TLS_VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _hush(warnings: Any) -> None:
    """Silence what the user can do nothing about."""
    import logging

    # litellm's models warn about fields that providers add.
    warnings.filterwarnings("ignore", module=r"(litellm|pydantic)(\.|$)")
    warnings.filterwarnings("ignore", message="Pydantic serializer warnings")
    warnings.filterwarnings("ignore", message="Accessing the .model_(computed_)?fields. attribute")
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers[:] = [logging.NullHandler()]
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False


def _deafen() -> None:
    """Fill the place of litellm's service logger, which no setting empties, with one that hears nothing.

    After each request without an event loop, the real one makes a loop to tell nobody in: 0.09 ms of CPU in a thread,
    and in the main thread a loop that is never closed (three file descriptors, and a ResourceWarning).
    """
    from litellm.litellm_core_utils import logging_utils

    class Deaf:
        @staticmethod
        def service_success_hook(**_event: object) -> None:
            return None

        @staticmethod
        async def async_service_success_hook(**_event: object) -> None:
            return None

    module: Any = logging_utils
    module._service_logger = Deaf()  # noqa: SLF001  # see above


def _give_clients(options: Any) -> tuple[Watched, AsyncWatched]:
    """Give litellm clients that send through watched transports, in every place where it looks for one.

    Its OpenAI-like providers take `client_session` and `aclient_session`; the others ask its cache of clients, or take
    the module's clients; a client that a provider still makes for itself takes `sync_transport`.
    """
    import httpx
    from litellm.caching.llm_caching_handler import LLMClientCache
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, HTTPHandler, blocked_cookie_jar

    from .transport import AsyncWatched, Watched

    transport, async_transport = Watched(), AsyncWatched()
    client = httpx.Client(transport=transport, cookies=blocked_cookie_jar(), trust_env=False)
    handler = HTTPHandler(client=client)
    async_handler = AsyncHTTPHandler(transport=async_transport, follow_redirects=False)

    class Clients(LLMClientCache):  # type: ignore[misc]  # litellm's stubs do not know it
        """Answers with our clients, whatever settings litellm would make one of its own with."""

        def get_cache(self, key: str, **kwargs: Any) -> Any:
            if key.startswith("httpx_client"):
                return handler
            if key.startswith("async_httpx_client"):
                return async_handler
            return super().get_cache(key, **kwargs)

    options.client_session = client
    options.aclient_session = httpx.AsyncClient(
        transport=async_transport, cookies=blocked_cookie_jar(), trust_env=False
    )
    options.sync_transport = transport
    options.module_level_client = handler
    options.module_level_aclient = async_handler
    options.in_memory_llm_clients_cache = Clients()
    return transport, async_transport


def _silent_logging() -> type[Any]:
    """Return a kind of litellm's logging object that does nothing when a call has succeeded.

    Nobody listens to it, and its idea of cost is not ours.
    """
    from litellm.litellm_core_utils.litellm_logging import Logging

    class Silent(Logging):  # type: ignore[misc]  # litellm's stubs do not know it
        def response_cost_calculator(self, *_args: Any, **_kwargs: Any) -> None:
            return None

        def success_handler(self, *_args: Any, **_kwargs: Any) -> None:
            return None

        async def async_success_handler(self, *_args: Any, **_kwargs: Any) -> None:
            return None

    return Silent

"""Where calls go is said by a profile alone: no variable sends a prompt or a key to another host, of any provider."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from scrimp.profiles.addresses import NO_ADDRESS, OURS, drop_ignored, ignored_variables, note_ignored
from scrimp.profiles.schema import Arm
from scrimp.routing.calls import dispatch
from scrimp.routing.calls.call import Call

SOURCES = ("main.py", "__init__.py", "utils.py", "constants.py", "_lazy_imports.py", "llms", "litellm_core_utils",
           "secret_managers", "types", "responses", "completion_extras", "caching")  # fmt: skip
ADDRESS = re.compile(
    r"""["']([A-Z][A-Z0-9_]*(?:BASE|URL|URI|ENDPOINT|HOST|ADDR|PROXY|SERVER|GATEWAY|HEADERS|HANDLER)(?:_[A-Z0-9_]+)?)["']"""
)
HARMLESS = {
    "no variables": {"ABASE", "DATABASE", "HTTP_HANDLER_NAMES", "IP_ADDRESS", "MAC_ADDRESS", "EMAIL_ADDRESS",
                     "ANTHROPIC_API_ONLY_HEADERS"},
    "keys and names": {"AGENTCORE_GATEWAY_TOKEN", "PREDIBASE_API_KEY", "PREDIBASE_TENANT_ID", "TEST_EMAIL_ADDRESS",
                       "VERCEL_AI_GATEWAY_API_KEY"},
    "what a request says of the program that sends it": {"OR_SITE_URL", "VERCEL_SITE_URL"},
    "where a cloud's own credentials come from": {"ACTIONS_ID_TOKEN_REQUEST_URL", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                                 "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "HCP_VAULT_ADDR"},
    "callbacks, guardrails and caches, which have to be set up first": {
        "ALERTING_WEBHOOK_URL", "ARIZE_ENDPOINT", "ARIZE_HTTP_ENDPOINT", "LANGTRACE_API_HOST", "REDIS_HOST", "REDIS_URL",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "PHOENIX_COLLECTOR_ENDPOINT", "PHOENIX_COLLECTOR_HTTP_ENDPOINT",
        "QDRANT_URL", "SLACK_WEBHOOK_URL", "VALKEY_HOST", "ZSCALER_AI_GUARD_URL"},
    "limits": {"DEFAULT_NUM_WORKERS_LITELLM_PROXY", "MAX_IMAGE_URL_DOWNLOAD_SIZE_MB",
               "MAX_MCP_SEMANTIC_FILTER_TOOLS_HEADER_LENGTH"},
    "read by our transports": {"NO_PROXY"},
}  # fmt: skip


def names_in_sources():
    """Return every name in LiteLLM's and OpenAI's sources that could be a variable for an address."""
    litellm, openai = (Path(find_spec(name).submodule_search_locations[0]) for name in ("litellm", "openai"))
    files = [file for part in SOURCES for file in ((litellm / part).rglob("*"), [litellm / part])[part.endswith(".py")]]
    files += openai.rglob("*.py")
    texts = (file.read_text(errors="ignore") for file in files if file.suffix in {".py", ".json"} and file.is_file())
    return {name for text in texts for name in ADDRESS.findall(text)}


def test_every_variable_for_an_address_in_litellms_sources_is_ignored_or_known():
    """A name that is new in a release of LiteLLM fails here until it is decided."""
    names = names_in_sources()
    assert {"OPENAI_BASE_URL", "GEMINI_API_BASE", "USE_LITELLM_PROXY", "AZURE_OPENAI_ENDPOINT"} <= names
    left = names - set(ignored_variables(dict.fromkeys(names, "x")))
    assert left - set.union(*HARMLESS.values()) == set()


EVERY_PROVIDER = """
import asyncio, json, os, sys, threading, warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
warnings.simplefilter("ignore")
hosts = {"sentinel": set(), "proxy": set()}

class Handler(BaseHTTPRequestHandler):
    def refuse(self):
        hosts[self.server.kind].add((provider, self.path if self.command == "CONNECT" else self.headers["Host"]))
        self.send_response(502)
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_CONNECT = do_GET = do_POST = do_PUT = refuse
    def log_message(self, *_):
        pass

def serve(kind):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.kind, server.daemon_threads = kind, True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"

sentinel, proxy = serve("sentinel"), serve("proxy")
os.environ.update(HTTPS_PROXY=proxy, HTTP_PROXY=proxy, AWS_REGION_NAME="us-east-1", AWS_ACCESS_KEY_ID="x",
                  AWS_SECRET_ACCESS_KEY="x")
names = json.loads(sys.argv[1])

def spoil():
    for name in names:
        os.environ[name] = "true" if name == "USE_LITELLM_PROXY" else sentinel

spoil()
from scrimp.routing.calls import dispatch
from scrimp.routing.calls.call import Call
models = {"azure": "azure/gpt-4o", "bedrock": "bedrock/anthropic.claude-3-sonnet-20240229-v1:0"}
for n, each in enumerate(dispatch.prepare().module.provider_list):
    provider = getattr(each, "value", each)
    if provider in {"chatgpt", "github_copilot", "gigachat", "watsonx_text"}:
        continue  # these log in at their own servers first, and wait
    spoil()
    call = Call(model=models.get(provider, f"{provider}/m"), messages=[{"role": "user", "content": "x"}],
                max_output_tokens=5, api_key="k", timeout_s=5, deadline_s=5)
    try:
        if n % 2:
            asyncio.run(dispatch.aattempt(call))
        else:
            dispatch.attempt(call, lambda _: None)
    except dispatch.CallError:
        pass
print(json.dumps({kind: sorted(found) for kind, found in hosts.items()}))
sys.stdout.flush()
os._exit(0)
"""


def test_no_providers_request_goes_where_a_variable_says():
    """All of LiteLLM's providers, with every such variable set: a proxy sees which host each of them is asked at."""
    names = sorted(set(ignored_variables(dict.fromkeys(names_in_sources(), "x"))) - OURS.keys())
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-c", EVERY_PROVIDER, json.dumps(names)],
        env=clean,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["sentinel"] == []
    at = dict(found["proxy"])
    assert len(at) > 70
    assert {name: at[name] for name in ("openai", "anthropic", "gemini", "openrouter", "mistral", "bedrock")} == {
        "openai": "api.openai.com:443",
        "anthropic": "api.anthropic.com:443",
        "gemini": "generativelanguage.googleapis.com:443",
        "openrouter": "openrouter.ai:443",
        "mistral": "api.mistral.ai:443",
        "bedrock": "bedrock-runtime.us-east-1.amazonaws.com:443",
    }
    # LiteLLM takes OpenAI's address for providers that have none.
    assert {name for name, host in at.items() if host == "api.openai.com:443"} == {"openai", "text-completion-openai"}
    assert not at.keys() & NO_ADDRESS


@pytest.mark.parametrize("provider", sorted(NO_ADDRESS))
def test_a_provider_without_an_address_is_asked_at_none(provider):
    call = Call(model=f"{provider}/m", messages=[{"role": "user", "content": "x"}], max_output_tokens=5, api_key="k")
    with pytest.raises(dispatch.CallError, match="the arm needs an api_base") as caught:
        dispatch.attempt(call)
    assert (caught.value.kind, caught.value.billable) == ("not_sent", "no")


def test_an_arm_without_an_address_is_said_before_anything_is_paid(home, scrimp, tmp_path):
    file = tmp_path / "p.toml"
    file.write_text(
        '[[arms]]\nname = "mine"\nmodel = "hosted_vllm/llama"\nprice = { input_usd_per_mtok = 0, '
        "output_usd_per_mtok = 0 }\n"
    )
    done = scrimp("ask", "-p", file, "hi")
    assert (done.code, "hosted_vllm has no address of its own" in done.err) == (78, True), done.err
    assert "api_base" in scrimp("profile", "check", file).out


@pytest.mark.parametrize("value", ["x.example/#", "x.example/", "a@b", "a?b", "a\\b", "a b"])
@pytest.mark.parametrize("name", ["AWS_REGION_NAME", "VERTEXAI_LOCATION", "SNOWFLAKE_ACCOUNT_ID"])
def test_a_region_cannot_make_another_host(name, value):
    env = {name: value, "AWS_REGION": "eu-west-1", "VERTEX_PROJECT": "example.com:p1", "PATH": "/bin"}
    assert ignored_variables(env) == (name,)
    drop_ignored(env)
    assert env == {"AWS_REGION": "eu-west-1", "VERTEX_PROJECT": "example.com:p1", "PATH": "/bin", **OURS}


def test_variables_that_matter_to_the_arms_are_named():
    env = dict.fromkeys(["OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "OLLAMA_HOST", "AWS_ENDPOINT_URL", "HOME"], "x")

    def note(*models):
        return note_ignored([Arm(name="a", model=model) for model in models], env)

    assert note("local/smollm2") is None
    assert note("mistral/m") is None
    assert note("openai/m").startswith("OPENAI_BASE_URL is set, and ignored: calls go to")
    assert note("gpt-5").startswith("OPENAI_BASE_URL is set")
    assert note("claude-x", "openai/m").startswith("ANTHROPIC_BASE_URL and OPENAI_BASE_URL are set, and ignored")
    assert note("bedrock/m").startswith("AWS_ENDPOINT_URL is")
    assert note("ollama_chat/m").startswith("OLLAMA_HOST is")
    env["USE_LITELLM_PROXY"] = "true"
    assert "USE_LITELLM_PROXY" in note("mistral/m")
    assert note("local/smollm2") is None


def test_ask_and_doctor_name_what_is_ignored(server, profile, scrimp, monkeypatch):
    """An arm with an address of its own is asked there, and keeps silent about it."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Spy: yes")
    done = scrimp("ask", "-p", profile(small="ok"), "hi")
    assert (done.code, "OPENAI" in done.err, len(server.chats)) == (0, False, 1)
    assert "x-spy" not in {name.lower() for name in server.chats[0].headers}
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    for argv, said in ((["route", "-p", "openai", "hi"], "err"), (["doctor", "-p", "openai"], "out")):
        text = getattr(scrimp(*argv), said)
        assert text.count("OPENAI_BASE_URL") == 1 + (said == "out"), text
    assert "OPENAI_BASE_URL" not in scrimp("ask", "-q", "--dry-run", "-p", "openai", "hi").err


def test_a_netrc_file_adds_no_password(server, profile, scrimp, tmp_path, monkeypatch):
    """Neither httpx, for `ask`, nor aiohttp, for `batch`, looks into it."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login u password from-netrc\ndefault login u password from-netrc\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    rows = tmp_path / "in.jsonl"
    rows.write_text('{"prompt": "one"}\n')
    file = profile(small="ok")
    assert scrimp("ask", "-p", file, "hi").code == 0
    assert scrimp("batch", rows, "-p", file, "-o", tmp_path / "out.jsonl", "--yes").code == 0
    assert [request.authorization for request in server.chats] == ["Bearer none"] * 2


UNREADABLE = """
from scrimp.profiles.errors import ConfigError
from scrimp.routing.calls import dispatch
try:
    dispatch.prepare()
except ConfigError as error:
    print(error, "/", error.hint)
"""


def test_a_variable_that_litellm_cannot_read_is_named():
    env = {**os.environ, "DEFAULT_MAX_RETRIES": "many", "REQUEST_TIMEOUT": "soon"}
    done = subprocess.run([sys.executable, "-c", UNREADABLE], env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout == (
        "LiteLLM cannot be loaded: invalid literal for int() with base 10: 'many' / "
        "Unset DEFAULT_MAX_RETRIES, or mend what it says.\n"
    ), done.stderr

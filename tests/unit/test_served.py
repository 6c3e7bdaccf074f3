"""Arms whose model is a star: the model is the one that a server on this machine names."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from homes import cwd, home, load, write  # noqa: F401 - fixtures

from scrimp.profiles.load import override
from scrimp.profiles.served import Served, ask_server

STAR = """
[[arms]]
name = "served"
model = "hosted_vllm/*"
api_base = "{base}"
price = {{ input_usd_per_mtok = 0, output_usd_per_mtok = 0 }}
"""


@pytest.fixture
def serve():
    """Run a server that gives each GET one reply: `serve(status, body)` returns its address, and what it was asked."""
    servers = []

    def do(body, status=200):
        asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append((self.path, self.headers.get("Authorization")))
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/v1", asked

    yield do
    for server in servers:
        server.shutdown()
        server.server_close()


def models(*rows):
    return {"object": "list", "data": list(rows)}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (models({"id": "qwen3-8b", "max_model_len": 4096}), (Served("qwen3-8b", 4096),)),
        (models({"id": "a.gguf", "meta": {"n_ctx": 2048, "n_ctx_train": 9999}}), (Served("a.gguf", 2048),)),
        (models({"id": "text-embedding-nomic"}, {"id": "one"}, {"id": "two"}), (Served("one"), Served("two"))),
        (models({"id": "x", "max_model_len": "long"}), (Served("x"),)),
        (models({"id": ""}, {"id": 3}, {"id": "a\nb"}, "x", {"id": "y" * 300}), ()),
        (models(), ()),
        ({"data": None}, ()),
        ([], ()),
        (b"<html>", ()),
        (b"", ()),
    ],
)
def test_what_a_server_says_it_serves(serve, body, found):
    base, asked = serve(body)
    assert ask_server(base) == found
    assert asked == [("/v1/models", None)]


def test_an_error_serves_nothing(serve):
    assert ask_server(serve(models({"id": "x"}), 500)[0]) == ()


def test_nobody_there_and_elsewhere():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert ask_server(f"http://127.0.0.1:{closed.getsockname()[1]}/v1") == ()
    assert ask_server("https://example.com/v1") == ()


def test_a_star_is_the_model_that_is_served(load, write, serve):
    base, asked = serve(models({"id": "qwen3-8b", "max_model_len": 4096}, {"id": "other"}))
    write("mine", STAR.format(base=base) + "context_window = 8192\n")
    loaded = load("mine")
    (arm,) = loaded.profile.arms
    assert (arm.model, arm.context_window) == ("hosted_vllm/qwen3-8b", 4096)
    assert override(loaded, prefer="best").profile.arms[0].model == "hosted_vllm/qwen3-8b"
    assert len(asked) == 1


def test_a_smaller_window_of_the_profile_stays(load, write, serve):
    base, _ = serve(models({"id": "qwen3-8b", "max_model_len": 4096}))
    write("mine", STAR.format(base=base) + "context_window = 1024\n")
    assert load("mine").profile.arms[0].context_window == 1024


def test_a_model_that_is_named_is_not_asked_for(load, write, serve):
    base, asked = serve(models({"id": "qwen3-8b"}))
    write("mine", STAR.format(base=base).replace("/*", "/mine"))
    assert load("mine").profile.arms[0].model == "hosted_vllm/mine"
    assert asked == []


def test_a_server_with_a_key_is_asked_with_it(load, write, serve):
    base, asked = serve(models({"id": "qwen3-8b"}))
    write("mine", STAR.format(base=base) + 'key_env = "VLLM_KEY"\n')
    assert load("mine", VLLM_KEY="secret-of-vllm").profile.arms[0].model == "hosted_vllm/qwen3-8b"
    assert asked == [("/v1/models", "Bearer secret-of-vllm")]


@pytest.mark.parametrize("provider", ["hosted_vllm", "lm_studio", "openai"])
def test_it_is_asked(scrimp, server, tmp_path, provider):
    path = tmp_path / "star.toml"
    path.write_text(STAR.format(base=server.base_url).replace("hosted_vllm", provider))
    done = scrimp("ask", "-p", path, "hello")
    assert done.code == 0, done.err
    assert [request.model for request in server.requests] == ["ok"]


def test_where_nobody_answers_that_is_said(scrimp, tmp_path):
    path = tmp_path / "star.toml"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        path.write_text(STAR.format(base=base))
        done = scrimp("ask", "-p", path, "hello")
        assert done.code == 78
        said = f"no server on this machine answers at {base}/models: start it, or name the model"
        assert done.err.startswith(f"scrimp: arm served: {said}\n")
        checked = scrimp("profile", "check", path)
        assert checked.code == 78
        assert f'error: arm "served": {said}\n  model = "hosted_vllm/NAME"' in checked.out
        assert scrimp("route", "-p", path, "hello").code == 0

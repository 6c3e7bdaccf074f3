"""LiteLLM in front of the endpoint, as its proxy calls what stands behind it (docs/scale.md; bench/proxy.py has the proxy itself)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment

GATEWAY = """
import asyncio, json, sys
import litellm
from litellm.integrations.custom_logger import CustomLogger
url, token, stream = sys.argv[1], sys.argv[2], sys.argv[3] == "stream"
heard = []
class Hears(CustomLogger):
    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        heard.append(kwargs["response_cost"])
litellm.callbacks = [Hears()]
litellm.suppress_debug_info = True
behind = {"model": "openai/scrimp*", "api_base": url + "/v1", "api_key": token}
router = litellm.Router([{"model_name": "scrimp*", "litellm_params": behind}], num_retries=0, disable_cooldowns=True)
async def ask():
    more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    answer = await router.acompletion("scrimp/cheap", [{"role": "user", "content": "Name a colour."}], **more)
    if stream:
        async for _ in answer:
            pass
async def go():
    try:
        await ask()
    except Exception as error:
        print(json.dumps({"status": error.status_code, "why": str(error)}))
        return
    for _ in range(200):
        if heard:
            break
        await asyncio.sleep(0.05)
    print(json.dumps({"costs": heard}))
asyncio.run(go())
"""


@pytest.fixture
def ask_through(tmp_path):
    def ask(serving, how):
        argv = [sys.executable, "-c", GATEWAY, serving.url, serving.token, how]
        env = environment(tmp_path / "gateway") | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.splitlines()[-1])

    return ask


@pytest.mark.parametrize("how", ["plain", "stream"])
def test_a_gateway_charges_what_is_charged_here(serve, server, ask_through, how):
    serving = serve(small="ok")
    (cost,) = ask_through(serving, how)["costs"]
    assert cost * 1e9 == pytest.approx(serving.charged())
    assert serving.charged() == server.cost_nano


def test_a_refused_cap_is_refused_by_the_gateway(serve, server, ask_through):
    found = ask_through(serve(small="ok", caps="per_day_usd = 0.0001"), "plain")
    assert found["status"] == 402
    assert "cap" in found["why"]
    assert not server.chats


def test_the_example_names_what_there_is():
    yaml = pytest.importorskip("yaml")
    text = (Path(__file__).parents[2] / "docs" / "examples" / "litellm-proxy.yaml").read_text()
    config = yaml.safe_load(text)
    (model,) = config["model_list"]
    assert model["model_name"].partition("*")[0] == model["litellm_params"]["model"].removeprefix("openai/").rstrip("*")
    assert config["litellm_settings"]["num_retries"] == config["router_settings"]["num_retries"] == 0
    assert config["general_settings"]["always_include_stream_usage"]

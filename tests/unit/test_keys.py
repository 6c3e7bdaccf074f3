"""Keys: which belongs to which arm, how they are kept, and that nothing shows them."""

import os
import pickle
import stat
import subprocess
import sys
import threading
import types

import pytest

from scrimp.profiles.errors import AuthError, ConfigError, UsageError
from scrimp.profiles.keys import Keys, Secret, all_secrets, key_names, list_keys, remove_key, resolve_key, set_key
from scrimp.profiles.paths import paths
from scrimp.profiles.schema import Arm

CANARY = "sk-canary-0123456789"


@pytest.fixture
def home(tmp_path):
    return paths({"SCRIMP_HOME": str(tmp_path / "home")})


def arm(model="openai/gpt-5-mini", **more):
    return Arm(name="a", model=model, **more)


def test_a_secret_does_not_show_itself():
    secret = Secret(CANARY, "OPENAI_API_KEY")
    assert secret.reveal() == CANARY
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret:>40}",
        f"{secret!r}",
        f"{secret}",
        repr([secret]),
        repr({"k": secret}),
    ]
    assert not any("canary" in text for text in shown)
    assert "OPENAI_API_KEY" in repr(secret)
    assert secret == Secret(CANARY)
    assert secret != Secret("other")
    assert secret != CANARY
    assert len({secret, Secret(CANARY)}) == 1
    assert not hasattr(secret, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("openai/gpt-5", ("OPENAI_API_KEY",)),
        ("gpt-5", ("OPENAI_API_KEY",)),
        ("o3-mini", ("OPENAI_API_KEY",)),
        ("anthropic/claude-haiku-5-5", ("ANTHROPIC_API_KEY",)),
        ("claude-haiku-5-5", ("ANTHROPIC_API_KEY",)),
        ("gemini/gemini-3.8-flash", ("GEMINI_API_KEY", "GOOGLE_API_KEY")),
        ("openrouter/openai/gpt-5", ("OPENROUTER_API_KEY",)),
        ("groq/llama", ("GROQ_API_KEY",)),
        ("mistral/large", ("MISTRAL_API_KEY",)),
        ("deepseek/deepseek-chat", ("DEEPSEEK_API_KEY",)),
        ("xai/grok-4", ("XAI_API_KEY",)),
        ("cohere/command-a", ("COHERE_API_KEY", "CO_API_KEY")),
        ("text-completion-openai/x", ("OPENAI_API_KEY",)),
        ("some-new_one/x", ("SOME_NEW_ONE_API_KEY",)),
        ("ollama/llama3", ()),
        ("ollama_chat/llama3", ()),
        ("local/smollm2", ()),
        ("hosted_vllm/x", ()),
        ("bedrock/x", ("AWS_BEARER_TOKEN_BEDROCK",)),
        ("sagemaker/x", ()),
        ("vertex_ai/x", ()),
        ("mystery-model", ()),
    ],
)
def test_names_of_keys(model, names):
    assert key_names(arm(model)) == names


def test_together_and_fireworks_have_names():
    assert "TOGETHERAI_API_KEY" in key_names(arm("together_ai/x"))
    assert "FIREWORKS_AI_API_KEY" in key_names(arm("fireworks_ai/x"))
    assert "PERPLEXITY_API_KEY" in key_names(arm("perplexity/sonar"))


def test_the_order(home):
    set_key("OPENAI_API_KEY", "stored-key-1", home)
    set_key("MINE", "stored-key-2", home)
    env = {"OPENAI_API_KEY": "env-key-1", "MINE": "env-key-2"}
    command = (sys.executable, "-c", "print('command-key')")
    assert resolve_key(arm(), {}, home).reveal() == "stored-key-1"
    assert resolve_key(arm(), env, home).reveal() == "env-key-1"
    assert resolve_key(arm(), env, home).source == "OPENAI_API_KEY"
    assert resolve_key(arm(key_env="MINE"), {"OPENAI_API_KEY": "env-key-1"}, home).reveal() == "stored-key-2"
    assert resolve_key(arm(key_env="MINE"), env, home).reveal() == "env-key-2"
    assert resolve_key(arm(key_cmd=command), env, home).reveal() == "command-key"
    assert resolve_key(arm("anthropic/claude"), env, home) is None
    assert resolve_key(arm("ollama_chat/llama3"), env, home) is None


def test_the_second_name_counts(home):
    gemini = arm("gemini/gemini-3.8-flash")
    assert resolve_key(gemini, {"GOOGLE_API_KEY": "google-key"}, home).reveal() == "google-key"
    assert (
        resolve_key(gemini, {"GOOGLE_API_KEY": "google-key", "GEMINI_API_KEY": "gemini-key"}, home).reveal()
        == "gemini-key"
    )
    set_key("GEMINI_API_KEY", "stored-key", home)
    assert resolve_key(gemini, {"GOOGLE_API_KEY": "google-key"}, home).reveal() == "google-key"


def test_a_providers_key_is_not_sent_to_another_address(home):
    env = {"OPENAI_API_KEY": CANARY}
    elsewhere = arm(api_base="http://127.0.0.1:8000/v1")
    assert resolve_key(elsewhere, env, home) is None
    assert Keys(env, home).status(elsewhere) == "not needed"
    named = arm(api_base="http://127.0.0.1:8000/v1", key_env="OPENAI_API_KEY")
    assert resolve_key(named, env, home).reveal() == CANARY


def test_status(home):
    keys = Keys({"OPENAI_API_KEY": "k"}, home)
    assert keys.status(arm()) == "present"
    assert keys.status(arm("anthropic/x")) == "missing"
    assert keys.status(arm("local/x")) == "not needed"
    assert keys.status(arm(key_cmd=("false",))) == "command"
    assert Keys({"OPENAI_API_KEY": " "}, home).status(arm()) == "missing"


def test_white_space_around_a_key_is_not_part_of_it(home):
    assert resolve_key(arm(), {"OPENAI_API_KEY": f"  {CANARY}\n"}, home).reveal() == CANARY


@pytest.mark.parametrize(
    "value", ["sk canary", "sk-canary\nInjected: header", "sk-canäry", "sk-canary\x7f", "canary\ud800", "canary" * 2000]
)
def test_what_is_not_a_key(home, value):
    with pytest.raises(AuthError) as caught:
        resolve_key(arm(), {"OPENAI_API_KEY": value}, home)
    assert "canary" not in caught.value.message
    with pytest.raises(UsageError) as caught:
        set_key("OPENAI_API_KEY", value, home)
    assert "canary" not in caught.value.message
    assert not home.keys.exists()


# --- commands


def command(code):
    return arm(key_cmd=(sys.executable, "-c", code))


def test_only_the_first_line_of_a_command_counts(home):
    assert resolve_key(command("print(' the-key '); print('user: me')"), {}, home).reveal() == "the-key"


def test_a_command_sees_the_environment_and_no_stdin(home):
    code = "import os, sys; print(os.environ['X'] + sys.stdin.read())"
    assert resolve_key(command(code), {**os.environ, "X": "from-env"}, home).reveal() == "from-env"


def test_a_command_is_not_read_by_a_shell(home, tmp_path):
    target = tmp_path / "made"
    assert (
        resolve_key(arm(key_cmd=("echo", f"key;touch${{IFS}}{target}")), dict(os.environ), home)
        .reveal()
        .startswith("key;")
    )
    assert not target.exists()


def test_a_command_runs_once(home, tmp_path):
    count = tmp_path / "count"
    keys = Keys(dict(os.environ), home)
    made = command(f"open({str(count)!r}, 'a').write('x'); print('the-key')")
    assert keys.resolve(made) == keys.resolve(made)
    assert count.read_text() == "x"
    assert "the-key" not in keys.secrets()  # too short to look for


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (command(f"import sys; print('{CANARY}'); sys.exit('{CANARY}')"), "failed with exit status 1"),
        (command("pass"), "printed no key on its first line"),
        (command(f"print(); print('{CANARY}')"), "printed no key on its first line"),
        (command(f"print('{CANARY} with spaces')"), "this is not a key"),
        (command(f"import sys; sys.stdout.buffer.write(b'{CANARY}\\xff')"), "this is not a key"),
        (arm(key_cmd=("/nowhere/at/all",)), "cannot be run: No such file or directory"),
        (arm(key_cmd=("a\0b",)), "cannot be run: not a command"),
    ],
)
def test_commands_that_fail_show_nothing_they_printed(home, made, message):
    with pytest.raises(AuthError) as caught:
        resolve_key(made, dict(os.environ), home)
    assert message in caught.value.message
    assert "canary" not in caught.value.message + str(caught.value.hint)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert caught.value.exit_code == 4


def test_a_command_that_hangs(home, monkeypatch):
    def run(*args, timeout, **more):
        assert timeout == 30
        raise subprocess.TimeoutExpired(args[0], timeout, output=CANARY.encode())

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(AuthError, match="did not finish in 30 s"):
        resolve_key(command("pass"), {}, home)


# --- the key file


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_storing_listing_removing(home):
    assert set_key("OPENAI_API_KEY", f" {CANARY}\n", home) == "file"
    assert set_key("B", "x\"'\\y", home) == "file"
    assert list_keys(home) == {"B": "file", "OPENAI_API_KEY": "file"}
    assert resolve_key(arm(key_env="B"), {}, home).reveal() == "x\"'\\y"
    assert mode(home.keys) == 0o600
    assert mode(home.config) == 0o700
    assert {path.name for path in home.config.iterdir()} == {"keys.toml", ".lock"}
    assert remove_key("B", home)
    assert not remove_key("B", home)
    assert list_keys(home) == {"OPENAI_API_KEY": "file"}
    assert mode(home.keys) == 0o600


def test_storing_under_a_permissive_umask(home):
    old = os.umask(0)
    try:
        set_key("A", CANARY, home)
    finally:
        os.umask(old)
    assert mode(home.keys) == 0o600
    assert mode(home.config) == 0o700


def test_replacing_a_readable_file_makes_it_private(home):
    home.config.mkdir(parents=True)
    home.keys.write_text('A = "a-key-of-mine"\n')
    home.keys.chmod(0o644)
    assert Keys({}, home).notes == (f"{home.keys} can be read by others: chmod 600 {home.keys}",)
    set_key("B", CANARY, home)
    assert Keys({}, home).notes == ()
    assert list_keys(home) == {"A": "file", "B": "file"}


def test_no_file_no_notes(home):
    assert Keys({}, home).notes == ()
    assert list_keys(home) == {}
    assert not remove_key("A", home)
    assert not home.config.exists()


@pytest.mark.parametrize("name", ["", "a b", "1A", "A-B", "A\n", "a" * 200, "sk-canary"])
def test_names_that_are_refused(home, name):
    with pytest.raises(UsageError, match="not a name for a key"):
        set_key(name, CANARY, home)


def test_an_empty_key_is_refused(home):
    with pytest.raises(UsageError, match="the key is empty"):
        set_key("A", "  ", home)


def test_a_link_is_not_written_through(home, tmp_path):
    home.config.mkdir(parents=True)
    target = tmp_path / "dotfiles.toml"
    target.write_text('A = "linked-key"\n')
    home.keys.symlink_to(target)
    assert resolve_key(arm(key_env="A"), {}, home).reveal() == "linked-key"
    with pytest.raises(ConfigError, match="is a symbolic link"):
        set_key("B", CANARY, home)
    assert target.read_text() == 'A = "linked-key"\n'
    assert set(home.config.iterdir()) == {home.keys, home.config / ".lock"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'A = "{CANARY}"\nB = "{CANARY}', "not a valid key file"),
        (f"A = {CANARY}", ":1: not a valid key file"),
        (f'A = ["{CANARY}"]', 'A: expected text or { backend = "keyring" }'),
        (f'A = {{ backend = "{CANARY}" }}', "A: expected text"),
        ("A = 5", "A: expected text"),
        (b"\xff" + CANARY.encode(), "not a valid key file"),
        (b"A = " + b"[" * 100_000, "not a valid key file"),
    ],
)
def test_a_broken_key_file_shows_nothing_of_itself(home, text, message):
    home.config.mkdir(parents=True)
    home.keys.write_bytes(text if isinstance(text, bytes) else text.encode())
    for attempt in (lambda: list_keys(home), lambda: resolve_key(arm(), {}, home), lambda: set_key("B", "b", home)):
        with pytest.raises(ConfigError) as caught:
            attempt()
        assert message in caught.value.message
        assert "canary" not in caught.value.message + str(caught.value.hint)
    assert Keys({}, home).secrets() == ()


def test_a_variable_needs_no_key_file(home):
    home.config.mkdir(parents=True)
    home.keys.mkdir()
    assert resolve_key(arm(), {"OPENAI_API_KEY": CANARY}, home).reveal() == CANARY
    with pytest.raises(ConfigError, match="not a file"):
        resolve_key(arm(), {}, home)


def test_a_folder_that_cannot_be_written(home):
    home.config.parent.mkdir(parents=True, exist_ok=True)
    home.config.write_text("")
    with pytest.raises(ConfigError, match="cannot be"):
        set_key("A", CANARY, home)


def test_a_full_disk_leaves_the_old_file(home, monkeypatch):
    set_key("A", CANARY, home)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        set_key("B", "b", home)
    monkeypatch.undo()
    assert list_keys(home) == {"A": "file"}
    assert {path.name for path in home.config.iterdir()} == {"keys.toml", ".lock"}


def test_many_at_once_all_stay(home):
    threads = [threading.Thread(target=set_key, args=(f"K{number}", CANARY, home)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(list_keys(home)) == {f"K{number}" for number in range(12)}


# --- what to scrub


def test_every_key_that_could_be_known(home):
    set_key("STORED", "stored-secret-1", home)
    env = {
        "OPENAI_API_KEY": "openai-secret-1",
        "HF_TOKEN": " hf-secret-12\n",
        "AWS_SECRET_ACCESS_KEY": "aws-secret-12",
        "MY_VAR": "plain-named-1",
        "SHORT_KEY": "abc",
        "KEYBOARD": "us-international",
        "PATH": "/usr/bin:/usr/sbin",
    }
    found = all_secrets(env, home, [arm(key_env="MY_VAR"), arm(key_env="UNSET")])
    assert {"stored-secret-1", "openai-secret-1", "hf-secret-12", "aws-secret-12", "plain-named-1"} <= set(found)
    assert not {"abc", "us-international", "/usr/bin:/usr/sbin"} & set(found)
    assert sorted(found, key=lambda text: -len(text)) == sorted(found, key=len, reverse=True)
    keys = Keys(env, home)
    keys.resolve(command("print('from-a-command')"))
    assert "from-a-command" in keys.secrets()


# --- the system keyring


@pytest.fixture
def keyring(monkeypatch):
    kept = {}

    class KeyringError(Exception):
        pass

    class PasswordDeleteError(KeyringError):
        pass

    def delete(service, name):
        if (service, name) not in kept:
            raise PasswordDeleteError
        del kept[service, name]

    module = types.ModuleType("keyring")
    module.errors = types.ModuleType("keyring.errors")
    module.errors.KeyringError, module.errors.PasswordDeleteError = KeyringError, PasswordDeleteError
    module.set_password = lambda service, name, value: kept.__setitem__((service, name), value)
    module.get_password = lambda service, name: kept.get((service, name))
    module.delete_password = delete
    module.kept = kept
    monkeypatch.setitem(sys.modules, "keyring", module)
    monkeypatch.setitem(sys.modules, "keyring.errors", module.errors)
    return module


def test_a_key_in_the_keyring(home, keyring):
    assert set_key("OPENAI_API_KEY", CANARY, home, env={"SCRIMP_KEYRING": "1"}) == "keyring"
    assert keyring.kept == {("scrimp", "OPENAI_API_KEY"): CANARY}
    assert CANARY not in home.keys.read_text()
    assert list_keys(home) == {"OPENAI_API_KEY": "keyring"}
    assert resolve_key(arm(), {}, home).reveal() == CANARY
    keys = Keys({}, home)
    assert keys.status(arm()) == "present"
    assert remove_key("OPENAI_API_KEY", home)
    assert keyring.kept == {}
    assert list_keys(home) == {}


def test_a_keyring_that_lost_the_key(home, keyring):
    set_key("OPENAI_API_KEY", CANARY, home, env={"SCRIMP_KEYRING": "1"})
    keyring.kept.clear()
    assert resolve_key(arm(), {}, home) is None
    assert remove_key("OPENAI_API_KEY", home)


def test_a_keyring_that_does_not_answer(home, keyring):
    set_key("OPENAI_API_KEY", CANARY, home, env={"SCRIMP_KEYRING": "1"})

    def locked(service, name):
        raise keyring.errors.KeyringError(CANARY)

    keyring.get_password = locked
    with pytest.raises(AuthError, match="does not answer") as caught:
        resolve_key(arm(), {}, home)
    assert "canary" not in caught.value.message


def test_no_keyring(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigError, match="needs an extra"):
        set_key("A", CANARY, home, env={"SCRIMP_KEYRING": "1"})
    assert not home.keys.exists()
    assert set_key("A", CANARY, home, env={"SCRIMP_KEYRING": "0"}) == "file"


@pytest.mark.parametrize(
    ("model", "env", "status"),
    [
        ("bedrock/x", {}, "not seen"),
        ("bedrock/x", {"AWS_BEARER_TOKEN_BEDROCK": "k"}, "present"),
        ("bedrock/x", {"AWS_PROFILE": "work"}, "present"),
        ("bedrock/x", {"AWS_ACCESS_KEY_ID": "a"}, "not seen"),
        ("bedrock/x", {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}, "present"),
        ("bedrock/x", {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}, "not seen"),
        ("sagemaker/x", {"AWS_BEARER_TOKEN_BEDROCK": "k"}, "not seen"),
        ("sagemaker/x", {"AWS_PROFILE": "work"}, "present"),
        ("vertex_ai/x", {}, "not seen"),
        ("vertex_ai/x", {"GOOGLE_APPLICATION_CREDENTIALS": "/a.json"}, "present"),
        ("azure/x", {}, "missing"),
        ("azure/x", {"AZURE_API_KEY": "k"}, "present"),
    ],
)
def test_credentials_that_are_not_one_key(home, model, env, status):
    assert Keys(env, home).status(Arm(name="a", model=model)) == status


def test_the_file_of_the_aws_tools_is_seen_and_not_read(home, tmp_path):
    (tmp_path / ".aws").mkdir()
    file = tmp_path / ".aws" / "credentials"
    keys = Keys({"HOME": str(tmp_path)}, home)
    arm = Arm(name="a", model="bedrock/x")
    assert keys.status(arm) == "not seen"
    file.write_text("[default]")
    file.chmod(0)
    assert keys.status(arm) == "present"
    assert keys.resolve(arm) is None


def test_a_key_for_bedrock_alone_is_handed_over(home):
    found = Keys({"AWS_BEARER_TOKEN_BEDROCK": CANARY}, home).resolve(Arm(name="a", model="bedrock/x"))
    assert found is not None
    assert found.reveal() == CANARY
    assert key_names(Arm(name="a", model="bedrock/x", api_base="https://elsewhere.example")) == ()

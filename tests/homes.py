"""A home of profiles, a folder to be in, and what loads a profile there: fixtures for tests of profiles."""

import pytest

from scrimp.profiles.load import load_profile
from scrimp.profiles.paths import paths


@pytest.fixture
def home(tmp_path):
    return paths({"SCRIMP_HOME": str(tmp_path / "home")})


@pytest.fixture
def cwd(tmp_path):
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    return folder


@pytest.fixture
def load(home, cwd):
    def do(name=None, /, **env):
        return load_profile(name, env=env, cwd=cwd, paths=home)

    return do


@pytest.fixture
def write(home):
    def do(name, text):
        home.profiles.mkdir(parents=True, exist_ok=True)
        file = home.profiles / (name if "." in name else f"{name}.toml")
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return do

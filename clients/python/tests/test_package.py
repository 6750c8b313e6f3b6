"""What pip makes of the folder, as who installs it has it; and that its help says what everything is."""
import importlib.metadata
import inspect
import os
import pathlib
import subprocess
import sys
import zipfile

import hookwire
import pydantic
import pytest

FOLDER = pathlib.Path(hookwire.__file__).resolve().parent


def pip(*arguments):
    subprocess.run([sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *map(str, arguments)], check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built by what is installed here, without a look at PyPI, from a copy: building leaves things behind."""
    copy, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "hookwire.py"):
        (copy / name).write_bytes((FOLDER / name).read_bytes())
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", made, copy)
    (path,) = made.iterdir()
    return path


def test_the_wheel_is_one_module(wheel):
    info = f"hookwire-{hookwire.__version__}.dist-info"
    assert wheel.name == f"hookwire-{hookwire.__version__}-py3-none-any.whl"
    assert sorted(zipfile.ZipFile(wheel).namelist()) == [*(f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "top_level.txt")), "hookwire.py"]


def test_it_installs_into_a_python_that_has_nothing_else(wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python3"
    pip("--python", python, "install", "--no-index", wheel)
    program = "import hookwire, importlib.metadata; hookwire.Client('http://127.0.0.1:1'); print(hookwire.__file__, importlib.metadata.version('hookwire'))"
    where, version = subprocess.run([python, "-I", "-c", program], check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout.split()
    assert where.startswith(str(tmp_path)) and version == hookwire.__version__


def test_help_says_what_everything_is():
    public = {name: getattr(hookwire, name) for name in hookwire.__all__}
    for name, value in list(public.items()):
        if inspect.isclass(value):
            public.update({f"{name}.{member}": one for member, one in vars(value).items() if inspect.isfunction(one) and not member.startswith("_")})
    assert [name for name, value in public.items() if not value.__doc__] == []
    assert hookwire.__doc__


def test_these_are_the_frameworks_that_are_meant():
    """Where these tests run a second time, with the pydantic of before, they do."""
    major = os.environ.get("HOOKWIRE_TEST_PYDANTIC", "2")
    assert pydantic.VERSION.split(".")[0] == major
    assert importlib.metadata.version("fastapi")

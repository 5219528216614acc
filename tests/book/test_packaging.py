"""The files around the package agree with each other, and run.py chooses and makes its environment safely."""

import importlib.util
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import relstab

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"torch": "pytorch"}


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


run = load(ROOT / "run.py")
setup = load(ROOT / "setup.py")
vendor = load(ROOT / "tools" / "vendor.py")


def committed():
    """Names of the files in the repository."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode or not listed.stdout:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def split(requirement):
    return re.fullmatch(r"([A-Za-z0-9._-]+)(.*)", requirement).groups()


def test_environment_yml_is_pyproject():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    names = [line for line in conda["dependencies"] if isinstance(line, str)]
    ours = [CONDA_NAMES.get(name, name) + bounds for name, bounds in map(split, run.requirements())]
    assert sorted(names) == sorted([*ours, f"python{PROJECT['requires-python']}", "pip"])
    assert conda["dependencies"][-1] == {"pip": ["-e ."]}
    assert conda["name"] == PROJECT["name"]


def test_every_extra_is_installed_but_the_weights_of_others():
    assert set(run.EXTRAS) == set(PROJECT["optional-dependencies"]) - {"others"}


def test_constraints_pin_every_requirement_within_its_bounds():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    assert not any("+" in version for version in pins.values())  # a local tag fits one kind of machine only
    plain = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    for name, bounds in map(split, run.requirements()):
        assert all(run.satisfies(plain[name.lower()], bound) for bound in bounds.split(",")), name
    assert not {"relstab", "duplicates"} & set(plain)


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == relstab.__version__
    assert "version" in PROJECT["dynamic"]  # setuptools reads it from the package
    assert citation["license"] == PROJECT["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n\nCopyright (c) 2026 The relstab authors\n")


def test_addresses_hang_on_one_switch():
    config = (ROOT / "_config.yml").read_text()
    public = re.sub(r"(?m)^    public: .*\n", "", config) + "\n    public: true\n"
    assert setup.address(public) == yaml.safe_load(config)["repository"]["url"]
    assert setup.address(public.replace("public: true", "public: false")) == ""


def test_readme_of_the_package_index_has_no_dead_link():
    """There no file lies beside it, and formulas are not set."""
    text = (ROOT / "README.md").read_text()
    files = {found["path"] for found in setup.LINK.finditer(text)}
    assert "CONTRIBUTING.md" in files
    assert all((ROOT / path).is_file() for path in files)
    bare, linked = setup.readme(text, ""), setup.readme(text, "https://example.org/it")
    assert not re.search(r"\]\((?!https?:)", bare + linked)
    assert "overview.png" not in bare
    assert "](https://example.org/it/raw/main/book/assets/overview.png)" in linked
    assert "[contributing](https://example.org/it/blob/main/CONTRIBUTING.md)" in linked
    assert "```\nR = \\frac" in bare and "$$" not in bare


def test_the_source_distribution_is_the_repository(tmp_path):
    """All that is committed, so that its tests run there; and the wheel tells type checkers that it has types."""
    files = committed()
    pytest.importorskip("setuptools")
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    code = "import sys; from setuptools import build_meta as b; print(getattr(b, sys.argv[1])('dist'))"
    for kind in ("build_sdist", "build_wheel"):
        subprocess.run([sys.executable, "-c", code, kind], cwd=tmp_path, check=True, capture_output=True)
    with tarfile.open(next(tmp_path.glob("dist/*.tar.gz"))) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert set(files) - packed == set()
    wheel = zipfile.ZipFile(next(tmp_path.glob("dist/*.whl")))
    modules = {name for name in files if name.startswith("rel") and name.endswith((".py", ".toml", ".typed", ".npz"))}
    assert {name for name in modules if "/" in name} - set(wheel.namelist()) == set()
    assert "relstab/py.typed" in modules
    metadata = wheel.read(next(name for name in wheel.namelist() if name.endswith("/METADATA"))).decode()
    assert f"Version: {relstab.__version__}\n" in metadata


def test_vendored_files_are_the_listed_ones(tmp_path):
    assert vendor.problems() == []
    (tmp_path / "VENDOR.md").write_text(
        "| `a.js` | p | 1 | `a.js` | MIT | `00` |\n| `b.js` | p | 1 | `b` | MIT | `00` |\n"
    )
    for name in ("a.js", "c.js", "widgets-setup.js"):
        (tmp_path / name).write_text("changed")
    assert vendor.problems(tmp_path) == [
        "c.js is not listed in VENDOR.md",
        "b.js is missing",
        "a.js differs from the sha256 in VENDOR.md",
    ]


def test_base_package_needs_no_extra():
    """`import relstab` and its modules for users import nothing from the extras."""
    code = """import sys
for extra in ("scipy", "matplotlib", "tqdm", "torchmetrics", "lightning", "papermill",
              "jupytext", "nbformat", "ipywidgets", "yaml", "psutil", "distributed", "beartype",
              "safetensors", "timm", "efficientnet_lite_pytorch"):
    sys.modules[extra] = None  # importing it now fails
import relstab, relstab.cli, relstab.store, relstab.probes.command
import torch
relstab.models, relstab.data, relstab.theory, relstab.train
images = relstab.diffeo.deform(torch.rand(4, 1, 12, 12), displacement=0.5)
table = relstab.sensitivity(torch.nn.Flatten(), images, displacement=0.5)
assert len(table) == 2 and bool((table["R"] > 0).all())
relstab.theory.homogeneous_sensitivities(4, 3, 1, 16, 1, 5)
arguments = "probe --model relstab:lenet --option in_channels=1 --images fashion-mini --count 4 --layers output"
assert relstab.cli.main(arguments.split()) == 0
assert relstab.cli.main((arguments + " --curve c.png").split()) == 2
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_nothing_names_a_machine():
    """No home folder of a developer and no package index in what is committed."""
    words = re.compile("/" + "home/[a-z]|/" + "Users/|/" + "root/|pypi" + r"\.org|registry" + r"\.npmjs")
    kinds = {".py", ".md", ".yml", ".yaml", ".toml", ".txt", ".cff", ".json", ""}
    for name in committed():
        if Path(name).suffix in kinds and "assets/vendor" not in name:
            assert not words.search((ROOT / name).read_text(errors="replace")), name


@pytest.mark.parametrize(
    ("version", "bound", "met"),
    [
        ("2.13.0+cpu", ">=2.6", True),
        ("2.6", ">=2.6.0", True),
        ("1.0.4.post1", ">=1.0.4", True),
        ("2.0.0", "<2", False),
        ("1.9.9", "<2", True),
        ("1.3.0", "<1.2", False),
        ("7.0rc1", "<7", False),
        ("1.2", "==1.2.0", True),
        ("1.2", "!=1.2.0", False),
    ],
)
def test_bounds(version, bound, met):
    assert run.satisfies(version, bound) is met


def test_unmet_requirements_are_named():
    assert run.unmet(["pytest>=1", "no-such-package>=2", "pytest<2"]) == [
        "no-such-package is missing",
        f"pytest is {pytest.__version__}, not <2",
    ]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """run.py with another .venv folder, whose making is only noted down."""
    monkeypatch.setattr(run, "VENV", tmp_path / ".venv")
    made = []
    monkeypatch.setattr(run, "make", lambda python, stamp, wanted: made.append(python) or True)
    return tmp_path / ".venv", made


def test_a_complete_environment_is_used(elsewhere, monkeypatch):
    monkeypatch.setattr(run, "unmet", lambda lines: [])
    assert run.environment() == sys.executable
    assert elsewhere[1] == []


def test_an_outdated_environment_is_not_used(elsewhere, monkeypatch, capsys):
    venv, made = elsewhere
    monkeypatch.setattr(run, "unmet", lambda lines: ["jupyter-book is 2.1.7, not >=1.0.4,<2"])
    monkeypatch.setattr(run.sys, "base_prefix", "elsewhere")
    assert run.environment() == str(venv / "bin" / "python")
    assert made
    assert "the active environment is not complete: jupyter-book is 2.1.7" in capsys.readouterr().out


@pytest.mark.parametrize(("stamp", "again"), [(None, True), ("old", True), ("today's", False)])
def test_venv_is_made_again_unless_its_stamp_is_todays(elsewhere, monkeypatch, stamp, again):
    """An interrupted or outdated .venv has no stamp, or another one."""
    venv, made = elsewhere
    monkeypatch.setattr(run, "unmet", lambda lines: ["torch is missing"])
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").write_text("")
    if stamp:
        (venv / "relstab-stamp").write_text(run.fingerprint() if stamp == "today's" else stamp)
    assert run.environment() == str(venv / "bin" / "python")
    assert bool(made) is again


def test_an_installation_that_fails_leaves_no_stamp(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(run, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(run, "ROOT", tmp_path)
    python, stamp = tmp_path / "no-such-python", tmp_path / ".venv" / "stamp"
    monkeypatch.setattr(run.sys, "_base_executable", "/bin/false", raising=False)
    assert run.make(python, stamp, "x") is False
    assert not stamp.exists()
    assert ".venv could not be made" in capfd.readouterr().err


@pytest.mark.parametrize(("arguments", "sentence"), [(["cook"], "the command is 'cook'; it must be book or test")])
def test_bad_command(arguments, sentence):
    assert run.main(arguments) == f"run.py: {sentence}"

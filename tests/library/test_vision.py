"""relstab.vision: torchvision beside a torch build that its compiled library does not fit."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Written in pieces, so that this file does not find itself.
DIRECT = re.compile(r"""^\s*(?:import|from)\s+torch""" + r"""vision\b|import_module\(\s*["']torch""" + "vision", re.M)

BROKEN = 'raise RuntimeError("operator torchvision::nms does not exist")'
NEEDS_OPERATOR = f"""
import torch
try:
    torch.ops.torchvision.nms, torch.ops.torchvision.qnms
except AttributeError:
    {BROKEN}
"""


def fake_torchvision(folder: Path, body: str) -> Path:
    """A torchvision of empty modules whose __init__ is `body`."""
    package = folder / "torchvision"
    (package / "transforms").mkdir(parents=True)
    (package / "__init__.py").write_text(body)
    for module in ("datasets", "models", "tv_tensors", "transforms/__init__", "transforms/v2"):
        (package / f"{module}.py").write_text(f"name = {module!r}\n")
    return folder


def run(folder: Path, code: str) -> subprocess.CompletedProcess:
    """Run `code` in a fresh interpreter that finds the packages of `folder` first."""
    prelude = f"import sys; sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}]\n"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", prelude + code], capture_output=True, text=True, timeout=120
    )


def test_real_torchvision_works_here():
    from relstab import vision

    assert vision.torchvision.__version__
    assert callable(vision.models.resnet18)
    assert callable(vision.datasets.CIFAR10)
    assert issubclass(vision.tv_tensors.Image, __import__("torch").Tensor)
    assert callable(vision.v2.Transform)


def test_broken_import_is_repaired(tmp_path):
    done = run(
        fake_torchvision(tmp_path, NEEDS_OPERATOR),
        "from relstab import vision\n"
        "assert vision._library is not None\n"
        "assert vision.v2.name == 'transforms/v2' and vision.datasets.name == 'datasets'\n",
    )
    assert done.returncode == 0, done.stderr


def test_half_imported_modules_are_dropped(tmp_path):
    body = "from . import early\n" + NEEDS_OPERATOR + "assert early.imports == [1], early.imports\n"
    folder = fake_torchvision(tmp_path, body)
    (folder / "torchvision" / "early.py").write_text(
        "import sys, torch\n"
        "imports = [1]\n"
        "repaired = hasattr(torch.ops.torchvision, 'nms')\n"  # evaluated anew on the second import
    )
    done = run(folder, "from relstab import vision\nassert vision.torchvision.early.repaired\n")
    assert done.returncode == 0, done.stderr


def test_working_import_is_left_untouched(tmp_path):
    done = run(
        fake_torchvision(tmp_path, "loads = 1\n"),
        "from relstab import vision\nimport torch\n"
        "assert vision._library is None and vision.torchvision.loads == 1\n"
        "assert not hasattr(torch.ops.torchvision, 'nms')\n",
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise RuntimeError('out of cheese')", "RuntimeError: out of cheese"),
        ("raise ImportError('no such library')", "ImportError: no such library"),
        (BROKEN, "operator torchvision::nms does not exist"),  # still broken after the repair
    ],
)
def test_other_failures_are_not_swallowed(tmp_path, body, message):
    done = run(fake_torchvision(tmp_path, f"print('tried')\n{body}"), "from relstab import vision\n")
    assert done.returncode != 0
    assert done.stdout.count("tried") == (2 if body == BROKEN else 1)
    assert message in done.stderr.splitlines()[-1]


def test_nothing_else_imports_torchvision():
    folders = [ROOT / name for name in ("relstab", "relbook", "tests", "notebooks", "benchmarks", "tools", "book")]
    files = [f for folder in folders for suffix in ("py", "md", "ipynb") for f in folder.rglob(f"*.{suffix}")]
    assert ROOT / "relstab" / "vision.py" in files
    found = {f.relative_to(ROOT).as_posix() for f in files if DIRECT.search(f.read_text(encoding="utf-8"))}
    assert found == {"relstab/vision.py"}

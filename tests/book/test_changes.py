"""Which code a result was computed by: the definitions a study reaches, and what counts as a change of one."""

from pathlib import Path

import pytest

import relstab
from relbook.audit.changes import changed, definitions

STUDY = """
from dataclasses import dataclass
from typing import ClassVar
from relstab import physics
from relstab.tools import helper as help_out, UNUSED

@dataclass(frozen=True)
class Unit:
    study: ClassVar[str] = "toy"
    scale: str
    @property
    def cost_minutes(self):
        return 3
    def run(self):
        from relstab.late import later
        return later(help_out(physics.law(2)))
"""
LAWS = """
SLOPE = 3.0
def law(x: int) -> float:
    'A law.'
    return SLOPE * x
def other():
    return 1
"""
FILES = {
    "relstab/__init__.py": "",
    "relstab/studies/toy.py": STUDY,
    "relstab/physics/__init__.py": "from .laws import law",
    "relstab/physics/laws.py": LAWS,
    "relstab/tools.py": "UNUSED = 7\ndef helper(x):\n    # a comment\n    return x",
    "relstab/late.py": "def later(x):\n    return -x",
}


def toy(**changes):
    return definitions(FILES | changes, "toy")


def test_every_definition_that_is_reached_counts_and_no_other():
    assert sorted(toy()) == ["SLOPE", "Unit", "helper", "later", "law"]


@pytest.mark.parametrize(
    ("path", "old", "new", "names"),
    [
        ("relstab/physics/laws.py", "3.0", "3.1", ["SLOPE"]),
        ("relstab/physics/laws.py", "SLOPE * x", "SLOPE + x", ["law"]),
        ("relstab/late.py", "-x", "x", ["later"]),
        ("relstab/studies/toy.py", "law(2)", "law(3)", ["Unit"]),
        ("relstab/tools.py", "return x", "return x + 0", ["helper"]),
        ("relstab/physics/laws.py", "A law.", "Another sentence.", []),
        ("relstab/physics/laws.py", "x: int", "x: float", []),
        ("relstab/physics/laws.py", "return 1", "return 2", []),
        ("relstab/tools.py", "UNUSED = 7", "UNUSED = 8", []),
        ("relstab/tools.py", "# a comment", "# another", []),
        ("relstab/studies/toy.py", "return 3", "return 4", []),
    ],
)
def test_what_is_a_change(path, old, new, names):
    assert old in FILES[path]
    assert changed(toy(), toy(**{path: FILES[path].replace(old, new)})) == names


def test_moving_and_renaming_a_module_is_no_change():
    moved = {name: text for name, text in FILES.items() if "physics" not in name and "studies" not in name}
    moved["relstab/laws.py"] = FILES["relstab/physics/laws.py"]
    moved["relbook/studies/toy/study.py"] = STUDY.replace("import physics", "import laws").replace(
        "physics.law", "laws.law"
    )
    assert changed(toy(), definitions(moved, "toy")) == []


def test_a_definition_that_is_gone_is_a_change():
    text = FILES["relstab/studies/toy.py"].replace("help_out(physics.law(2))", "physics.law(2)")
    assert changed(toy(), toy(**{"relstab/studies/toy.py": text})) == ["Unit", "helper"]


def test_the_training_loop_is_reached_from_a_network_of_the_zoo():
    """On the sources as they are: through re-exports, base classes and tables of functions."""
    root = Path(relstab.__file__).parent.parent
    packages = [root / name for name in ("relstab", "relbook") if (root / name).exists()]
    files = {p.relative_to(root).as_posix(): p.read_text() for package in packages for p in package.rglob("*.py")}
    reached = definitions(files, "zoo")
    assert {"Network", "fit", "train_epoch", "sensitivity", "warp", "vgg", "efficientnet", "one_cycle"} <= set(reached)
    assert not {"get_or_run", "publish", "ZOO", "ledger", "picture"} & set(reached)

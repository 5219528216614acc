"""What an editor offers without running anything: the public names, with their arguments."""

from pathlib import Path

import jedi
import pytest

ROOT = Path(__file__).parents[2]


def at_the_end(code):
    return jedi.Script(code, project=jedi.Project(ROOT), environment=jedi.InterpreterEnvironment())


@pytest.mark.parametrize(
    ("code", "offered"),
    [
        ("import relstab\nrelstab.", {"sensitivity", "diffeo", "models", "data", "theory"}),
        ("from relstab import diffeo\ndiffeo.", {"Diffeo", "deform", "warp", "temperature", "is_bijective"}),
        ("from relstab import store\nstore.", {"get_or_run", "Rows"}),
    ],
)
def test_public_names_are_offered(code, offered):
    assert offered <= {name.name for name in at_the_end(code).complete()}


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("import relstab\nrelstab.sensitivity(", ["model", "images", "layers", "displacement", "cut", "statistic"]),
        ("from relstab.diffeo import Diffeo\nDiffeo(", ["displacement", "cut", "p", "seed"]),
        ("from relstab import diffeo\ndiffeo.Diffeo(", ["displacement", "cut", "p", "seed"]),
    ],
)
def test_they_come_with_their_arguments(code, arguments):
    (signature,) = at_the_end(code).get_signatures()
    names = [argument.name for argument in signature.params if argument.name != "*"]
    assert names[0] == arguments[0] and set(arguments) <= set(names)
    assert "displacement" in signature.docstring()

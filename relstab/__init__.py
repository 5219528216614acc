"""Relative stability to diffeomorphisms: R = D / G.

D is how much a network's output moves when its input is deformed smoothly, G how much it moves under
white noise of the same norm, both normalised by how much the output varies over the data (paper A, Eq. 1;
paper B, Eqs. 4-5). Deep nets that classify images well are insensitive to deformations *relative* to noise.

>>> import torch, relstab
>>> images = torch.rand(8, 1, 32, 32)
>>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1024, 10))
>>> list(relstab.sensitivity(model, images, layers="output").columns)
['layer', 'depth', 'relative_depth', 'D', 'G', 'R', 'R_low', 'R_high']
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what `__getattr__` loads, for editors and type checkers
    from relstab import data, diffeo, integrations, models, probes, random, store, theory, train, vision
    from relstab.probes.sensitivity import sensitivity

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "data",
    "diffeo",
    "integrations",
    "models",
    "probes",
    "random",
    "sensitivity",
    "store",
    "theory",
    "train",
    "vision",
]


def __getattr__(name: str) -> Any:
    """Load submodules on first use, so that `relstab --help` does not wait for torch."""
    if name == "sensitivity":
        return importlib.import_module("relstab.probes.sensitivity").sensitivity
    if name in __all__:
        return importlib.import_module(f"relstab.{name}")
    raise AttributeError(f"module 'relstab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

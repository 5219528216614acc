"""Packages that only some functions need: imported where they are used, with one sentence where they are not installed.

`import relstab`, `relstab.sensitivity` and `relstab.diffeo` need torch, torchvision, numpy, pandas and jaxtyping
alone.
"""

import importlib
from typing import Any

# what brings a package, where it is not its own name: extras of this distribution
_BROUGHT_BY = {"matplotlib": "relstab[probe]", "tqdm": "relstab[probe]", "safetensors": "relstab[probe]"}


def extra(module: str, purpose: str) -> Any:
    """The module, imported; `purpose` begins the sentence that says what for.

    Raises ModuleNotFoundError, with what to install, when its package is not there.

    >>> extra("no_such_package.part", "a picture")
    Traceback (most recent call last):
    ModuleNotFoundError: a picture needs the package no_such_package: pip install 'no_such_package'
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in (package, ""):
            raise  # something that the package itself needs: its own sentence names it
        raise ModuleNotFoundError(
            f"{purpose} needs the package {package}: pip install '{_BROUGHT_BY.get(package, package)}'", name=package
        ) from None

"""The one place that imports torchvision.

The torchvision wheels on PyPI are built for CUDA. Beside a CPU build of torch their compiled library cannot
load, and the import dies with `operator torchvision::nms does not exist`, although data sets, models and
transforms are plain Python. Here the two missing operators are declared (not implemented) and the import is
tried again. Where torchvision's own library loads nothing is touched: declaring first would clash with it.

Not available then: `torchvision.ops.nms` and torchvision's image codecs (relstab reads images with PIL).

>>> from relstab.vision import v2
>>> v2.functional.horizontal_flip.__name__
'horizontal_flip'
"""

import importlib
import sys
from types import ModuleType

import torch

__all__ = ["datasets", "models", "torchvision", "tv_tensors", "v2"]

_OPERATORS = ("nms", "qnms")
_library = None  # the declarations live as long as this object; None when they were not needed


def _load() -> ModuleType:
    """Import torchvision; declare its missing operators and try again where its compiled library cannot load.

    Raises whatever the import raises for any other reason (ImportError: torchvision is not installed).
    """
    global _library
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # half-imported modules would be reused as they are
    _library = torch.library.Library("torchvision", "DEF")
    for operator in _OPERATORS:
        _library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module("torchvision")


torchvision = _load()
datasets = importlib.import_module("torchvision.datasets")
models = importlib.import_module("torchvision.models")
tv_tensors = importlib.import_module("torchvision.tv_tensors")
v2 = importlib.import_module("torchvision.transforms.v2")

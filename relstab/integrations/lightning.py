"""D, G and R in the log of a Lightning training. ::

    from relstab.integrations.lightning import StabilityCallback
    trainer = lightning.Trainer(callbacks=[StabilityCallback(images)])

>>> import torch
>>> StabilityCallback(torch.rand(4, 1, 8, 8), every_n_epochs=5).every_n_epochs
5
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from relstab import vision
from relstab.extras import extra
from relstab.probes.sensitivity import check_inputs, sensitivity

__all__ = ["StabilityCallback"]

if vision is not None:  # lightning imports torchvision, which may need the operators that vision declares
    callbacks = extra("lightning.pytorch.callbacks", "relstab.integrations.lightning")


class StabilityCallback(callbacks.Callback):
    """Log relstab/D, relstab/G and relstab/R of the module's output at the end of training epochs.

    Deformations and noise are the same each time, so that the curve shows the network and not the draws. Every
    process measures the same images; the logged numbers agree on all.

    Args:
        images: at least 2, normalised as the module expects (the papers take 500).
        every_n_epochs: measure after each n-th epoch.
        **options: of `relstab.sensitivity`: displacement, cut, draws, seed (default: 0), batch_size, ...

    `table` is the last result, with error bars. Raises ValueError for images or options that `relstab.sensitivity`
    refuses.
    """

    def __init__(self, images: Float[Tensor, "image channel height width"], every_n_epochs: int = 1, **options: Any):
        check_inputs(rank=4, images=images)
        if isinstance(every_n_epochs, bool) or not isinstance(every_n_epochs, int) or every_n_epochs < 1:
            raise ValueError(f"every_n_epochs is {every_n_epochs!r}; it must be a whole number, at least 1")
        if taken := {"layers", "model", "images"} & set(options):
            raise ValueError(f"{taken.pop()} is no option of the callback, which measures the module's output")
        self.images, self.every_n_epochs = images, every_n_epochs
        self.options = {"seed": 0} | options
        self.table = None

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Measure and log."""
        if (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        with torch.no_grad():
            self.table = sensitivity(pl_module, self.images, layers="output", **self.options)
        row = self.table.iloc[-1]
        pl_module.log_dict({f"relstab/{name}": float(row[name]) for name in ("D", "G", "R")})

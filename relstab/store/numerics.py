"""How every unit computes: one thread, IEEE float32. So a row depends on its key, not on the shell or on `--jobs`.

The order of a sum depends on the number of threads, and a training run amplifies the last bit of it to the
second digit of an error; TF32 has 10 bits of mantissa where float32 has 23. Both are therefore fixed here, for
the units of all studies, and written in each result's provenance. A network may still train in bfloat16:
that is a setting of its recipe and part of its key.

>>> import torch
>>> with fixed():
...     torch.get_num_threads(), torch.get_float32_matmul_precision()
(1, 'highest')
"""

import contextlib
import sys
from collections.abc import Iterator

PRECISION = "ieee"  # of float32 in matrix products and convolutions, whatever the device offers


@contextlib.contextmanager
def fixed() -> Iterator[None]:
    """One thread and IEEE float32 for the block, in this thread; what was set before comes back."""
    import torch

    threads, products = torch.get_num_threads(), torch.get_float32_matmul_precision()
    convolutions, searched = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = convolutions, searched


def device() -> str:
    """Where units compute: "cuda", the first GPU that this process sees, or "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def precision() -> str | None:
    """ "ieee" where float32 is float32, "tf32" where a product or a convolution may round to it; None without torch."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    exact = torch.get_float32_matmul_precision() == "highest" and not torch.backends.cudnn.allow_tf32
    return PRECISION if exact else "tf32"


def capability() -> str | None:
    """The instructions that torch's CPU kernels use, for example "AVX512"; None without torch."""
    torch = sys.modules.get("torch")
    return None if torch is None else torch.backends.cpu.get_cpu_capability()

"""Stands in for torch in processes that run nothing but the toy study: importing torch takes longer than all they do.

It has what `relstab.store` asks of torch around a unit, and nothing else.
"""

from types import SimpleNamespace

__version__ = "0"
backends = SimpleNamespace(
    cudnn=SimpleNamespace(allow_tf32=False, benchmark=False), cpu=SimpleNamespace(get_cpu_capability=lambda: "NONE")
)
cuda = SimpleNamespace(is_available=lambda: False, is_initialized=lambda: False, device_count=lambda: 0)
_set = {"threads": 1, "precision": "highest"}


def get_num_threads():
    return _set["threads"]


def set_num_threads(count):
    _set["threads"] = count


def get_float32_matmul_precision():
    return _set["precision"]


def set_float32_matmul_precision(precision):
    _set["precision"] = precision

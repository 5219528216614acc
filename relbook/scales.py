"""The four scales of every study, in one readable table.

`tiny` runs in continuous integration (minutes on two cores, all notebooks together); `laptop` takes an hour
or a few on two cores; `gpu` about an hour on one GPU; `paper` is the papers' own setting. Everything that
depends on the scale is here, and nowhere else.
"""

from collections.abc import Iterable

SCALES = ("tiny", "laptop", "gpu", "paper")


# Maximum-entropy ensemble (B Fig. 1): random fields per cut-off. Nothing is trained: a second per thousand fields.
_CUTS = (2, 3, 4, 5, 7, 10, 15, 20, 30)
DIFFEOMORPHISMS = {
    "tiny": {"cuts": _CUTS, "samples": 1000},
    "laptop": {"cuts": (*_CUTS, 50), "samples": 4000},
    "gpu": {"cuts": (*_CUTS, 50, 100), "samples": 10000},
    "paper": {"cuts": (*_CUTS, 50, 100), "samples": 10000},
}

# Trained 1-D networks (A Fig. 9): width H, seeds, seeds trained together (one unit), step and ridge, and the
# length of training in clocks of weight decay K/(2 lr ridge): from `clocks` on a member may stop, at `limit` it must.
_STOP_AT_CLOCK = {"interpolations": 0, "validation": 128}
SCALE_DETECTION = {
    "tiny": [
        {"task": 1, "width": 32, "seeds": 2, "chunk": 2, "learning_rate": 0.01, "ridge": 0.1, "clocks": 0.75,
         "limit": 2.0, "draws": 20, **_STOP_AT_CLOCK},
        {"task": 2, "width": 32, "seeds": 2, "chunk": 2, "learning_rate": 0.03, "ridge": 0.03, "clocks": 0.9,
         "limit": 2.4, "draws": 1, **_STOP_AT_CLOCK},
    ],
    "laptop": [
        {"task": 1, "width": 32, "seeds": 16, "chunk": 8, "learning_rate": 0.01, "ridge": 0.1, "clocks": 3.0,
         "limit": 4.0, "draws": 20, **_STOP_AT_CLOCK},
        {"task": 2, "width": 32, "seeds": 16, "chunk": 8, "learning_rate": 0.03, "ridge": 0.03, "clocks": 3.6,
         "limit": 4.8, "draws": 1, **_STOP_AT_CLOCK},
        {"task": 1, "width": 64, "seeds": 8, "chunk": 4, "learning_rate": 0.01, "ridge": 0.1, "clocks": 3.5,
         "limit": 4.5, "draws": 20, **_STOP_AT_CLOCK},
        {"task": 1, "width": 128, "seeds": 4, "chunk": 2, "learning_rate": 0.01, "ridge": 0.1, "clocks": 3.0,
         "limit": 3.5, "draws": 20, **_STOP_AT_CLOCK},
        {"task": 2, "width": 64, "seeds": 8, "chunk": 4, "learning_rate": 0.01, "ridge": 0.03, "clocks": 3.5,
         "limit": 4.5, "draws": 2, **_STOP_AT_CLOCK},
    ],
    "gpu": [
        {"task": 1, "width": 1000, "seeds": 4, "chunk": 4, "learning_rate": 0.01, "ridge": 0.01, "clocks": 2.5,
         "limit": 3.0, "draws": 20, **_STOP_AT_CLOCK},
        {"task": 2, "width": 1000, "seeds": 10, "chunk": 10, "learning_rate": 0.01, "ridge": 0.01, "clocks": 5.0,
         "limit": 6.0, "draws": 2, **_STOP_AT_CLOCK},
    ],
    "paper": [
        {"task": 1, "width": 1000, "seeds": 4, "chunk": 4, "learning_rate": 0.01, "ridge": 0.01, "clocks": 1.0,
         "limit": 10.0, "draws": 20, "interpolations": 500, "validation": 128},
        {"task": 2, "width": 1000, "seeds": 10, "chunk": 10, "learning_rate": 0.01, "ridge": 0.01, "clocks": 1.0,
         "limit": 80.0, "draws": 2, "interpolations": 500, "validation": 128},
    ],
}  # fmt: skip

# Networks trained on images (A Secs. 1-2, B Secs. 3-5): blocks of units in the order of their value per minute.
# nets: (architecture, width, epochs), or (architecture, width) where the block fixes the number of steps; a list is
# an axis of a product. Fields and defaults: `relbook.studies.zoo.study.Network`. Minutes are single-core, estimated.
_DELTAS = (0.13, 0.25, 0.5, 1.0, 2.0, 4.0)  # B Fig. 3 left: 0.13 to 4.8 pixels
_NARROW = {"dataset": "fashion-mini", "probes": 200}
_CIFAR = {"dataset": "cifar10-jpeg", "augment": True, "cuts": (3, 5, 15)}
_ORIGINAL = {**_CIFAR, "dataset": "cifar10"}  # where only the JPEG copy is found, that serves
_OTHERS = {"dataset": "cifar10-lossless", "recipe": "published", "shuffles": 5, "cuts": (3, 5, 15)}
_OTHERS |= {"nets": tuple((f"cifar_resnet{layers}", 1, 0) for layers in (20, 32, 44, 56))}
TABLE_1 = ("fc_l2", "fc_l4", "fc_l6", "lenet", "alexnet", "vgg11", "vgg16", "vgg19", "vgg11_bn", "vgg16_bn",
            "vgg19_bn", "resnet18", "resnet34", "resnet50", "efficientnet_b0")  # B Table 1 and Fig. 5  # fmt: skip
_NOISY = ("fc_l2", "fc_l4", "fc_l6", "lenet", "alexnet", "vgg11", "vgg11_bn", "vgg16_bn", "vgg19_bn", "resnet18",
          "resnet34", "resnet50", "efficientnet_b0")  # A Figs. 1 and 10  # fmt: skip
_SIZES = [512 * 2**k for k in range(7)]
ZOO = {
    "tiny": (
        {**_NARROW, "shuffles": 2, "displacements": (0.25, 1.0, 3.0), "cuts": (3, 5, 15),
         "nets": (("vgg11_bn", 0.125, 6), ("resnet10", 0.0625, 6))},
        {**_NARROW, "shuffles": 2, "cuts": (3, 5, 15), "nets": (("lenet", 1, 15),)},
        {**_NARROW, "cuts": (3, 5, 15), "nets": (("fc_l2", 1, 40), ("fc_l4", 1, 40))},
        {**_NARROW, "train_size": [256, 1024, 3000], "steps": 120,
         "nets": (("fc_l4", 1), ("lenet", 1), ("vgg11_bn", 0.0625))},
        {**_NARROW, "noise": [0.0, 10.0, 30.0],
         "nets": (("fc_l2", 1, 20), ("fc_l4", 1, 20), ("lenet", 1, 10), ("vgg11_bn", 0.0625, 5))},
    ),
    "laptop": (
        _OTHERS,
        {**_CIFAR, "precision": "bfloat16", "shuffles": 5, "displacements": _DELTAS,
         "nets": (("lenet", 1, 30), ("vgg11_bn", 0.25, 18))},
        {**_CIFAR, "precision": "bfloat16", "shuffles": 5,
         "nets": (("alexnet", 0.25, 20), ("vgg11", 0.25, 18), ("vgg13_bn", 0.25, 18))},
        *({"dataset": name, "cuts": (3, 5, 15), "precision": "bfloat16",
           "nets": (("fc_l2", 1, 60), ("fc_l4", 1, 60), ("lenet", 1, 20), ("vgg11_bn", 0.125, 10),
                    ("resnet10", 0.125, 10))} for name in ("fashion-mnist", "mnist")),
        {**_CIFAR, "shuffles": 5, "nets": (("fc_l2", 1, 250), ("fc_l4", 1, 250))},
        {**_CIFAR, "precision": "bfloat16", "shuffles": 5, "displacements": _DELTAS,
         "nets": (("resnet18", 0.25, 15),)},
        *({"dataset": name, "train_size": [512, 2048, 8192, 32768, 60000], "steps": 2500, "cuts": (3, 5, 15),
           "precision": "bfloat16", "nets": (("fc_l4", 1), ("lenet", 1), ("resnet10", 0.125))}
          for name in ("fashion-mnist", "mnist")),
        {**_CIFAR, "shuffles": 5, "displacements": _DELTAS, "nets": (("efficientnet_b0", 0.25, 10),)},
        {**_CIFAR, "noise": [0.0, 10.0, 30.0, 100.0], "precision": "bfloat16", "cuts": (3,),
         "nets": (("fc_l2", 1, 20), ("fc_l4", 1, 20), ("lenet", 1, 10), ("alexnet", 0.125, 10),
                  ("vgg11_bn", 0.125, 10), ("vgg13_bn", 0.125, 10))},
        {**_CIFAR, "precision": "bfloat16", "augment": False, "nets": (("vgg11_bn", 0.25, 18),)},
        {**_CIFAR, "precision": "bfloat16", "shuffles": 5, "nets": (("vgg11_bn", 0.5, 18),)},
        {**_CIFAR, "train_size": [512, 2048, 8192, 32768, 50000], "steps": 3900, "precision": "bfloat16",
         "nets": (("lenet", 1), ("vgg11_bn", 0.25))},
        {**_CIFAR, "seed": 1, "precision": "bfloat16", "shuffles": 5, "displacements": _DELTAS,
         "nets": (("lenet", 1, 30), ("vgg11_bn", 0.25, 18))},
        {**_CIFAR, "seed": 1, "shuffles": 5, "nets": (("fc_l2", 1, 250), ("fc_l4", 1, 250))},
        {**_CIFAR, "seed": 1, "precision": "bfloat16", "shuffles": 5, "nets": (("vgg13_bn", 0.25, 18),)},
        *({"dataset": name, "train_size": [512, 2048, 8192, 32768, 60000], "steps": 2500, "cuts": (3, 5, 15),
           "seed": 1, "precision": "bfloat16", "nets": (("fc_l4", 1), ("lenet", 1), ("resnet10", 0.125))}
          for name in ("fashion-mnist", "mnist")),
        # The architectures of B's Table 1 that are not above.
        {**_CIFAR, "shuffles": 5, "nets": (("fc_l6", 1, 250),)},
        {**_CIFAR, "precision": "bfloat16", "shuffles": 5,
         "nets": (("vgg16_bn", 0.25, 18), ("vgg16", 0.25, 18), ("vgg19_bn", 0.25, 18), ("resnet34", 0.25, 18),
                  ("vgg19", 0.25, 18), ("resnet50", 0.25, 18))},
    ),
    "gpu": (
        _OTHERS,
        {**_ORIGINAL, "precision": "bfloat16", "shuffles": 10, "displacements": _DELTAS,
         "nets": (("vgg11_bn", 1, 30), ("resnet18", 1, 30), ("efficientnet_b0", 1, 30), ("fc_l4", 1, 60),
                  ("lenet", 1, 60))},
        {**_ORIGINAL, "precision": "bfloat16", "shuffles": 10,
         "nets": tuple((name, 1, 30) for name in TABLE_1)},
        {**_ORIGINAL, "precision": "bfloat16", "train_size": _SIZES, "steps": 7800,
         "nets": (("resnet18", 1), ("efficientnet_b0", 1), ("fc_l4", 1), ("lenet", 1))},
        *({"dataset": name, "precision": "bfloat16", "cuts": (3, 5, 15), "train_size": _SIZES, "steps": 4000,
           "nets": (("resnet18", 1), ("efficientnet_b0", 1), ("fc_l4", 1), ("lenet", 1))}
          for name in ("fashion-mnist", "mnist")),
        {**_ORIGINAL, "cuts": (3,), "precision": "bfloat16", "noise": [1.0, 10.0, 30.0, 100.0],
         "nets": tuple((name, 1, 30) for name in _NOISY)},
        {**_ORIGINAL, "precision": "bfloat16", "augment": False,
         "nets": (("vgg11_bn", 1, 30), ("resnet18", 1, 30))},
    ),
    "paper": (
        _OTHERS,
        # What one core affords in a night, by B's text: annealed to zero, the last epoch, nothing selected.
        {**_ORIGINAL, "recipe": "b_paper", "shuffles": 10, "displacements": _DELTAS, "seed": [0, 1, 2, 3, 4],
         "nets": (("lenet", 1, 250), ("fc_l2", 1, 250), ("fc_l4", 1, 250), ("fc_l6", 1, 250))},
        {**_ORIGINAL, "recipe": "b_paper", "train_size": _SIZES, "steps": 19550, "seed": [0, 1, 2],
         "nets": (("fc_l4", 1), ("lenet", 1))},
        {**_ORIGINAL, "recipe": "b_code", "shuffles": 10, "displacements": _DELTAS,
         "seed": [0, 1, 2, 3, 4], "nets": tuple((name, 1, 250) for name in TABLE_1)},
        {**_ORIGINAL, "recipe": "b_code", "train_size": _SIZES, "steps": 97750,
         "seed": list(range(16)), "nets": (("resnet18", 1), ("efficientnet_b0", 1), ("fc_l4", 1), ("lenet", 1))},
        *({"dataset": name, "recipe": "b_code", "cuts": (3, 5, 15), "train_size": _SIZES, "steps": 97750,
           "seed": list(range(16)),
           "nets": (("resnet18", 1), ("efficientnet_b0", 1), ("fc_l4", 1), ("lenet", 1))}
          for name in ("fashion-mnist", "mnist")),
        {**_ORIGINAL, "recipe": "a_code", "cuts": (3,), "shuffles": 10,
         "noise": [0.0, 0.01, 0.1, 1.0, 10.0, 30.0, 100.0], "seed": [0, 1, 2, 3],
         "nets": tuple((name, 1, 250) for name in _NOISY)},
    ),
}  # fmt: skip


# Trained 2-D networks (A Figs. 4 row 2, 6, 7): blocks of units in the order of their value per minute, read as the
# zoo's. Small fully connected nets and LeNet keep their width; fields:
# `relbook.studies.scale_detection_2d.study.Network`.
_FC_LENET = ("fc_l2", "fc_l4", "lenet")
_DEEP = ("vgg11_bn", "vgg13_bn", "resnet10", "vgg11", "alexnet", "vgg16_bn", "resnet18")


def _task_nets(width: float | int, epochs: int, *names: str) -> tuple:
    return tuple((name, 1 if name in _FC_LENET else width, epochs) for name in names)


SCALE_DETECTION_2D = {
    "tiny": ({"shuffles": 3, "nets": _task_nets(0.125, 8, *_FC_LENET, "vgg11_bn", "vgg13_bn", "resnet10")},),
    "laptop": (
        {"shuffles": 5, "nets": _task_nets(0.25, 80, "vgg11_bn", *_FC_LENET, *_DEEP[1:])},
        {"shuffles": 5, "nets": _task_nets(0.125, 80, "vgg11_bn", "vgg11")},
        {"shuffles": 5, "nets": _task_nets(0.5, 80, "vgg11_bn", "vgg11")},
        {"shuffles": 5, "seed": [1, 2], "nets": _task_nets(0.25, 80, "vgg11_bn", *_FC_LENET, *_DEEP[1:])},
        {"shuffles": 5, "seed": [1, 2], "nets": _task_nets(0.125, 80, "vgg11_bn")},
    ),
    "gpu": (
        {"shuffles": 10, "seed": [0, 1, 2], "nets": _task_nets(1, 100, *_FC_LENET, *_DEEP, "efficientnet_b0")},
        {
            "shuffles": 10,
            "seed": [0, 1, 2],
            "nets": tuple((name, width, 100) for name in ("vgg11_bn", "vgg11") for width in (0.125, 0.25, 0.5)),
        },
    ),
    "paper": (
        {
            "shuffles": 10,
            "seed": list(range(10)),
            "nets": _task_nets(1, 300, *_FC_LENET, *_DEEP, "resnet34", "efficientnet_b0"),
        },
    ),
}


# Stripe model (B Fig. 7). The first block of a scale is the declared rule (gradient descent, alpha = 1e-4,
# stop at 30 % violated margins) with other stops on the way, the next change one setting each. `chunk` seeds
# train together.
_GD = {"width": 128, "optimiser": "gd", "alpha": 1e-4, "learning_rate": 0.5, "batch": 0}
_RULES = (_GD | {"alpha": 1e-2}, _GD | {"alpha": 1e-6}, _GD | {"optimiser": "sgd", "batch": 256})
_ADAM = _GD | {"optimiser": "adam", "learning_rate": 0.2}
_STOPS = (0.5, 0.3, 0.1, 0.03, 0.0)
STRIPE = {
    "tiny": [
        {"train": (512, 1024, 2048, 4096), "seeds": 4, "chunk": 4, "stops": (0.5, 0.3), "limit": 3000, **_GD},
        *({"train": (512, 2048), "seeds": 4, "chunk": 4, "stops": (0.3,), "limit": 3000, **rule}
          for rule in _RULES),
    ],
    "laptop": [
        {"train": (256, 512, 1024, 2048, 4096), "seeds": 6, "chunk": 6, "stops": _STOPS, "limit": 6000,
         **_GD},
        {"train": (8192,), "seeds": 6, "chunk": 6, "stops": (0.5, 0.3), "limit": 3000, **_GD},
        *({"train": (256, 1024, 4096), "seeds": 4, "chunk": 4, "stops": (0.5, 0.3, 0.1),
           "limit": 3000, **rule} for rule in _RULES),
        {"train": (256, 512, 1024), "seeds": 4, "chunk": 4, "stops": (0.5, 0.3), "limit": 6000, **_ADAM},
    ],
    "gpu": [
        *({"train": (256, 512, 1024, 2048, 4096, 8192, 16384), "seeds": 16, "chunk": 16, "stops": _STOPS,
           "limit": 20000, **rule, "width": 512} for rule in (_GD, *_RULES)),
        {"train": (256, 512, 1024, 2048), "seeds": 8, "chunk": 8, "stops": _STOPS, "limit": 20000,
         **_ADAM, "width": 512},
    ],
    "paper": [
        *({"train": (128, 256, 512, 1024, 2048, 4096, 8192, 16384), "seeds": 20, "chunk": 10, "stops": _STOPS,
           "limit": 100000, **rule, "width": 1000} for rule in (_GD, *_RULES, _ADAM)),
    ],
}  # fmt: skip

# Spherical model (slides D): training-set sizes by dimension; alpha = 100 is lazy, 0.03 feature training.
_SIZES_ON_SPHERE = (8, 16, 32, 64, 128, 256)
SPHERE = {
    "tiny": {
        "picture": {"train": 8, "width": 400, "alphas": (100.0, 0.03), "limit": 10000},
        "train": {2: (8, 16, 32), 3: (8, 16, 32, 64)},
        "width": 400, "seeds": 5, "alphas": (100.0, 1.0, 0.03), "limit": 10000,
    },
    "laptop": {
        "picture": {"train": 8, "width": 400, "alphas": (100.0, 0.03), "limit": 10000},
        "train": {2: (8, 16, 32, 64), 3: (8, 16, 32, 64, 128), 5: (16, 32, 64, 128, 256)},
        "width": 400, "seeds": 6, "alphas": (100.0, 1.0, 0.03), "limit": 20000,
    },
    "gpu": {
        "picture": {"train": 8, "width": 1000, "alphas": (100.0, 0.03), "limit": 100000},
        "train": {2: _SIZES_ON_SPHERE, 3: _SIZES_ON_SPHERE, 5: (*_SIZES_ON_SPHERE, 512)},
        "width": 1000, "seeds": 8, "alphas": (100.0, 1.0, 0.03, 1e-6), "limit": 100000,
    },
    "paper": {
        "picture": {"train": 8, "width": 10000, "alphas": (100.0, 0.03, 1e-6), "limit": 1000000},
        "train": dict.fromkeys((2, 3, 5), (8, 16, 32, 64, 128, 256, 512, 1024)),
        "width": 10000, "seeds": 10, "alphas": (100.0, 1.0, 0.03, 1e-6), "limit": 1000000,
    },
}  # fmt: skip

# Learned deformation stability (C Figs. 3-7): blocks of units in the order of their value per minute, read as the
# zoo's; kinds and fields: `relbook.studies.ruderman.study`. `_MATCHED` gives real and random labels the same images,
# epochs and (no) decay and augmentation.
_FIVE = tuple(f"conv8_{name}" for name in ("subsample", "max", "average", "strided", "strided_relu"))
_MATCHED = {"kind": "network", "augment": False, "weight_decay": 0.0, "labels": ["real", "random"]}


def _conv8(width: float | int, *epochs: int, names: Iterable[str] = _FIVE) -> tuple[tuple, ...]:
    return tuple((name, width, *epochs) for name in names)


RUDERMAN = {
    "tiny": (
        {"kind": "network", "dataset": "fashion-mini", "augment": False, "nets": _conv8(0.125, 3)},
        {"kind": "smoothed", "dataset": "fashion-mini", "sigmas": (0.0, 0.5, 1.0, 2.0), "nets": _conv8(0.25)},
        {"kind": "templates", "dataset": "fashion-mini", "strength": [1.0, 2.0, 3.0, 4.0], "classes": 10,
         "per_class": 60, "nets": _conv8(0.125, 6, names=_FIVE[:2])},
        {**_MATCHED, "dataset": "fashion-mini", "train_size": 1000, "nets": _conv8(0.125, 4, names=_FIVE[:2])},
    ),
    "laptop": (
        {"kind": "smoothed", "dataset": "cifar10-jpeg", "sigmas": (0.0, 0.5, 1.0, 2.0),
         "seed": [0, 1, 2, 3, 4], "nets": _conv8(1)},
        {"kind": "network", "dataset": "cifar10-jpeg", "precision": "bfloat16", "nets": _conv8(0.5, 15)},
        {**_MATCHED, "dataset": "cifar10-jpeg", "precision": "bfloat16", "train_size": 10000,
         "nets": _conv8(0.5, 30)},
        {"kind": "templates", "dataset": "mnist", "precision": "bfloat16", "strength": [1.0, 2.0, 3.0, 4.0],
         "classes": 50, "per_class": 200, "seed": [0, 1], "nets": _conv8(0.5, 12, names=_FIVE[:2])},
        {"kind": "network", "dataset": "cifar10-jpeg", "precision": "bfloat16", "seed": 1,
         "nets": _conv8(0.5, 15)},
        {**_MATCHED, "dataset": "cifar10-jpeg", "precision": "bfloat16", "train_size": 10000, "seed": 1,
         "nets": _conv8(0.5, 30)},
    ),
    "gpu": (
        {"kind": "smoothed", "dataset": "cifar10", "sigmas": (0.0, 0.5, 1.0, 2.0),
         "seed": [0, 1, 2, 3, 4], "nets": _conv8(1)},
        {"kind": "network", "dataset": "cifar10", "precision": "bfloat16", "seed": [0, 1, 2],
         "nets": _conv8(1, 30)},
        {**_MATCHED, "dataset": "cifar10", "precision": "bfloat16", "seed": [0, 1, 2],
         "nets": _conv8(1, 40)},
        {"kind": "templates", "dataset": "mnist", "precision": "bfloat16", "strength": [1.0, 2.0, 3.0, 4.0],
         "classes": 100, "per_class": 500, "seed": [0, 1, 2], "nets": _conv8(1, 12)},
    ),
    "paper": (
        {"kind": "smoothed", "dataset": "cifar10", "sigmas": (0.0, 0.5, 1.0, 2.0), "seed": [0, 1, 2, 3, 4],
         "nets": _conv8(1)},
        {"kind": "network", "dataset": "cifar10", "seed": [0, 1, 2, 3, 4], "nets": _conv8(1, 200)},
        {**_MATCHED, "dataset": "cifar10", "seed": [0, 1, 2, 3, 4], "nets": _conv8(1, 200)},
        {"kind": "templates", "dataset": "mnist", "strength": [1.0, 2.0, 3.0, 4.0], "classes": 100,
         "per_class": 500, "seed": [0, 1, 2, 3, 4], "nets": _conv8(1, 30)},
    ),
}  # fmt: skip


# Networks that others trained on ImageNet (B Figs. 3 centre and 14): fields of
# `relbook.studies.imagenet.study.Network`. None at
# tiny, which has to run without their weights and without pictures of ImageNet.
_LITE = tuple(f"efficientnet_lite{size}" for size in range(3))
IMAGENET = {
    "tiny": {"nets": ()},
    "laptop": {"nets": _LITE},
    "gpu": {"nets": _LITE, "probes": 500, "init_probes": 250, "shuffles": 10},
    "paper": {"nets": _LITE, "probes": 500, "init_probes": 250, "shuffles": 10},
}


# Networks of public repositories, which are only probed: fields of `relbook.studies.others.study.Network`.
OTHERS = {
    "tiny": {
        "probes": 100,
        "init_probes": 50,
        "draws": 2,
        "displacements": (0.5, 1.0),
        "sweep_probes": 50,
        "shuffles": 1,
    },
    "laptop": {},
    "gpu": {"shuffles": 10, "sweep_probes": 500},
    "paper": {"shuffles": 10, "sweep_probes": 500},
}


# Fully connected nets on images (slides D): nets are (architecture, width); alpha = 10^5 is lazy, 0.03 feature
# training, None the exact lazy limit. Minutes: `relstab study lazy_images --dry-run`.
_REGIMES, _BETWEEN = (1e5, 0.03), (1000.0, 30.0, 1.0)
_MINI = {"dataset": "fashion-mini", "probes": 200, "limit": 1500}
_FASHION = {"dataset": "fashion-mnist", "probes": 500, "limit": 6000}
FIRST_LAYERS = {  # of the study lazy_images
    "tiny": {"dataset": "fashion-mini", "width": 1.0, "train": 60, "seeds": 2, "limit": 2000},
    "laptop": {"dataset": "fashion-mini", "width": 1.0, "train": 256, "seeds": 3, "limit": 2000},
    "gpu": {"dataset": "fashion-mnist", "width": 16.0, "train": 4096, "seeds": 5, "limit": 20000},
    "paper": {"dataset": "fashion-mnist", "width": 64.0, "train": 16384, "seeds": 10, "limit": 100000},
}

LAZY_IMAGES = {
    "tiny": [
        {**_MINI, "nets": (("fc_l2", 2), ("fc_l4", 1)), "train": (128, 512), "seeds": 3, "alphas": _REGIMES},
        {**_MINI, "nets": (("fc_l2", 2), ("fc_l4", 1)), "train": (128,), "seeds": 3,
         "alphas": (None, *_BETWEEN)},
    ],
    "laptop": [
        {**_FASHION, "nets": (("fc_l2", 4), ("fc_l4", 2)), "train": (256, 1024), "seeds": 3,
         "alphas": (*_REGIMES, None)},
        {**_FASHION, "nets": (("fc_l2", 4), ("fc_l4", 2)), "train": (1024,), "seeds": 3, "alphas": _BETWEEN},
        {**_FASHION, "nets": (("fc_l2", 4), ("fc_l4", 2)), "train": (4096,), "seeds": 3, "alphas": _REGIMES},
    ],
    "gpu": [
        {**_FASHION, "nets": (("fc_l2", 16), ("fc_l4", 4)), "train": (256, 1024, 4096, 16384), "seeds": 5,
         "alphas": (*_REGIMES, None), "limit": 20000},
        {**_FASHION, "nets": (("fc_l2", 16), ("fc_l4", 4)), "train": (4096,), "seeds": 5,
         "alphas": (1e4, 1000.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1), "limit": 20000},
    ],
    "paper": [
        {**_FASHION, "dataset": name, "nets": (("fc_l2", 64), ("fc_l4", 16), ("fc_l6", 16)),
         "train": (256, 1024, 4096, 16384, 50000), "seeds": 10, "alphas": (*_REGIMES, *_BETWEEN, None),
         "limit": 100000}
        for name in ("fashion-mnist", "mnist", "cifar10")
    ],
}  # fmt: skip


# Diffeomorphisms as augmentation (B Sec. 7): all pairs of (no) crops and flips and of a δ; blocks as the zoo's,
# fields: `relbook.studies.augmentation.study.Augmented`. δ = 2 at c = 3 is within `diffeo.temperature_range` on 28
# pixels.
_TREATMENTS = {"augment": [False, True], "displacement": [0.0, 1.0, 2.0]}
_SUBSETS = {**_TREATMENTS, "train_size": 10000, "precision": "bfloat16", "dataset": ["cifar10-jpeg", "fashion-mnist"]}
_AUGMENTED = (("lenet", 1, 15), ("vgg11_bn", 0.125, 12), ("fc_l2", 1, 12))
AUGMENTATION = {
    "tiny": (
        {**_TREATMENTS, "dataset": "fashion-mini", "probes": 200, "nets": (("lenet", 1, 5), ("vgg11_bn", 0.0625, 3))},
    ),
    "laptop": tuple({**_SUBSETS, "seed": seed, "nets": _AUGMENTED} for seed in (0, 1)),
    "gpu": (
        {
            **_TREATMENTS,
            "dataset": ["cifar10", "fashion-mnist"],
            "precision": "bfloat16",
            "seed": [0, 1, 2],
            "nets": (("lenet", 1, 60), ("vgg11_bn", 1, 30), ("resnet18", 1, 30), ("fc_l2", 1, 60)),
        },
    ),
    "paper": (
        {
            **_TREATMENTS,
            "dataset": ["cifar10", "fashion-mnist"],
            "seed": [0, 1, 2, 3, 4],
            "nets": (
                ("lenet", 1, 250),
                ("vgg11_bn", 1, 250),
                ("resnet18", 1, 250),
                ("efficientnet_b0", 1, 250),
                ("fc_l2", 1, 250),
            ),
        },
    ),
}

# The encoding of the training images: 8,068 lossless ones against their JPEG copies, all else equal. Blocks of units
# in the order of their value per minute, read as the zoo's; fields: `relbook.studies.encoding.study.Encoded`.
_PAIR = ["cifar10-lossless-8k", "cifar10-8k-jpeg75"]
_MILDER = ["cifar10-8k-jpeg95", "cifar10-8k-jpeg75-444"]
_PLANES = ["cifar10-8k-jpeg75-luminance", "cifar10-8k-jpeg75-chrominance"]
_ENCODED = {
    "augment": True,
    "precision": "bfloat16",
    "nets": (("lenet", 1, 60), ("vgg11_bn", 0.25, 30), ("resnet10", 0.125, 30)),
}
_ENCODED_WIDE = {"augment": [True, False], "dataset": [*_PAIR, *_MILDER, *_PLANES], "seed": [0, 1, 2, 3, 4]}
ENCODING = {
    "tiny": (
        {
            "dataset": ["fashion-mini", "fashion-mini-jpeg75"],
            "probes": 200,
            "nets": (("lenet", 1, 5), ("vgg11_bn", 0.0625, 3)),
        },
    ),
    "laptop": (
        {**_ENCODED, "dataset": _PAIR},
        {**_ENCODED, "dataset": _PAIR, "augment": False},
        {**_ENCODED, "dataset": _PAIR, "seed": 1},
        {**_ENCODED, "dataset": _MILDER},
        {**_ENCODED, "dataset": _PAIR, "seed": 1, "augment": False},
        {**_ENCODED, "dataset": _PLANES},
        {**_ENCODED, "dataset": [*_MILDER, *_PLANES], "seed": 1},
        {**_ENCODED, "dataset": _PAIR, "seed": 2, "augment": [True, False]},
    ),
    "gpu": (
        {
            **_ENCODED_WIDE,
            "precision": "bfloat16",
            "nets": (("lenet", 1, 200), ("vgg11_bn", 1, 100), ("resnet18", 1, 100)),
        },
    ),
    "paper": ({**_ENCODED_WIDE, "nets": (("lenet", 1, 250), ("vgg11_bn", 1, 250), ("resnet18", 1, 250))},),
}


# The explorer on the front page: networks that are probed at every pair of a displacement and a cut-off.
_SWEEP = {"displacements": (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0), "cuts": (2, 3, 5, 8, 12), "probes": 1017}
_SWEPT = (
    {**_SWEEP, "dataset": "cifar10-jpeg", "augment": True, "precision": "bfloat16",
     "nets": (("fc_l2", 1, 20), ("lenet", 1, 30))},
    {**_SWEEP, "dataset": "cifar10-lossless", "recipe": "published", "nets": (("cifar_resnet20", 1),)},
)  # fmt: skip
BEND_OR_NOISE = {
    "tiny": (
        {"dataset": "fashion-mini", "probes": 50, "displacements": (1.0,), "cuts": (3,), "nets": (("fc_l2", 1, 1),)},
    ),
    "laptop": _SWEPT,
    "gpu": _SWEPT,
    "paper": _SWEPT,
}

# Networks measured along their training, and one architecture at several widths. Blocks of units, read as the zoo's;
# fields: `relbook.studies.trajectories.study.Trajectory`.
_ON_THE_WAY = {"dataset": "cifar10-lossless-8k", "precision": "bfloat16", "recipe": ["one_cycle", "step"]}
_WIDTHS = (("vgg11_bn", 0.125, 30), ("vgg11_bn", 0.25, 30), ("vgg11_bn", 0.5, 30), ("vgg11_bn", 1, 30))
TRAJECTORIES = {
    "tiny": (
        {
            "dataset": "fashion-mini",
            "probes": 200,
            "recipe": ["one_cycle", "step"],
            "nets": (("lenet", 1, 6), ("vgg11_bn", 0.0625, 4)),
        },
    ),
    "laptop": (
        {**_ON_THE_WAY, "augment": [False, True], "nets": (("lenet", 1, 96), ("vgg11_bn", 0.25, 64))},
        {**_ON_THE_WAY, "augment": [False, True], "nets": (("vgg11", 0.25, 64),)},
        {**_ON_THE_WAY, "augment": [False, True], "nets": (("cifar_resnet20", 1, 64),)},
    ),
    "gpu": (
        {
            **_ON_THE_WAY,
            "augment": [False, True],
            "seed": [0, 1, 2],
            "nets": (
                ("lenet", 1, 200),
                ("vgg11", 1, 120),
                ("vgg11_bn", 1, 120),
                ("cifar_resnet20", 1, 120),
                ("resnet18", 1, 120),
            ),
        },
    ),
    "paper": (
        {
            **_ON_THE_WAY,
            "dataset": "cifar10",
            "precision": "float32",
            "augment": [False, True],
            "seed": [0, 1, 2, 3, 4],
            "nets": tuple((name, 1, 250) for name in ("lenet", "vgg11", "vgg11_bn", "resnet18")),
        },
    ),
}
WIDTHS = {
    "tiny": ({"dataset": "fashion-mini", "probes": 200,
              "nets": (("vgg11_bn", 0.03125, 4), ("vgg11_bn", 0.0625, 4))},),
    "laptop": (
        {"dataset": "cifar10-lossless-8k", "precision": "bfloat16", "augment": True, "nets": _WIDTHS},
        {"dataset": "cifar10-lossless-8k", "precision": "bfloat16", "augment": True, "seed": [1, 2], "nets": _WIDTHS},
    ),
    "gpu": (
        {"dataset": "cifar10-lossless-8k", "precision": "bfloat16", "augment": True, "seed": [0, 1, 2, 3, 4],
         "nets": tuple((name, width, 120) for name, width, _ in _WIDTHS)},
    ),
    "paper": (
        {"dataset": "cifar10", "augment": True, "seed": [0, 1, 2, 3, 4],
         "nets": tuple((name, width, 250) for name, width, _ in _WIDTHS)},
    ),
}  # fmt: skip


def check(scale: str) -> str:
    """Return the scale, or raise ValueError naming the four that exist.

    >>> check("tiny")
    'tiny'
    """
    if scale not in SCALES:
        raise ValueError(f"scale is {scale!r}; it must be one of {', '.join(SCALES)}")
    return scale

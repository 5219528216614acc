"""relstab.data.images: the named image sets, from every layout they are found in, whole or damaged."""

import gzip
import hashlib
import pickle
import struct
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import allow, isolate
from PIL import Image

import relstab
from relstab import data
from relstab.data import formats, sources
from relstab.data.sources import SOURCES

NAMES = ["fashion-mnist", "fashion-mini", "mnist", "cifar10", "cifar10-jpeg", "cifar10-lossless", "cifar10-lossless-8k",
         "imagenet"]  # fmt: skip


@pytest.fixture
def alone(tmp_path, monkeypatch):
    return isolate(tmp_path, monkeypatch)


def arrays(channels=1, train=20, test=10, size=28):
    rng = np.random.default_rng(0)
    shape = (size, size, channels) if channels > 1 else (size, size)
    x, y = rng.integers(0, 256, (train + test, *shape), dtype=np.uint8), np.arange(train + test) % 10
    return {"x_train": x[:train], "y_train": y[:train], "x_test": x[train:], "y_test": y[train:]}


def write_idx(folder, values, zipped=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, key in zip(formats.IDX_FILES, ["x_train", "y_train", "x_test", "y_test"], strict=True):
        array = values[key].astype(np.uint8)
        raw = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(raw) if zipped else raw)


def write_batches(folder, values):
    """cifar-10-batches-py as its authors pickled it: [n, 3072] rows, channel by channel."""
    folder.mkdir(parents=True)
    md5 = {}
    for i, name in enumerate([f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]):
        x, y = (
            (values["x_test"], values["y_test"])
            if i == 5
            else (np.array_split(values["x_train"], 5)[i], np.array_split(values["y_train"], 5)[i])
        )
        raw = pickle.dumps({"data": x.transpose(0, 3, 1, 2).reshape(len(x), -1), "labels": y.tolist()}, 2)
        (folder / name).write_bytes(raw)
        md5[name] = hashlib.md5(raw).hexdigest()
    return md5


def check(dataset, values):
    for split, part in ((dataset.train, "train"), (dataset.test, "test")):
        x = values[f"x_{part}"]
        x = x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)
        assert np.array_equal(split.images.numpy(), x)
        assert split.labels.tolist() == values[f"y_{part}"].tolist()
        assert split.images.dtype == torch.uint8
        assert split.images.is_contiguous()


# What is there without any data -------------------------------------------------------------------


def test_names_and_lazy_access():
    assert data.names() == NAMES
    assert relstab.data.load is data.load


def test_fashion_mini_is_real_balanced_and_small(alone):
    mini = data.load("fashion-mini")
    assert mini.train.images.shape == (3000, 1, 28, 28)
    assert mini.test.images.shape == (1000, 1, 28, 28)
    assert mini.train.labels.bincount().tolist() == [300] * 10
    assert mini.test.labels.bincount().tolist() == [100] * 10
    assert mini.test.labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]  # as the original test set begins
    assert mini.train.labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert mini.digest == data.digest("fashion-mini") == SOURCES["fashion-mini"].digest
    assert (mini.license, mini.lossy, mini.classes[9]) == ("MIT", False, "Ankle boot")
    assets = Path(relstab.__file__).parent / "assets"
    assert (assets / "fashion-mini.npz").stat().st_size < 2_000_000
    assert "The MIT License" in (assets / "README.md").read_text()
    pixels = mini.train.images.double() / 255
    assert abs(pixels.mean().item() / 0.2860 - 1) < 0.02  # the published mean and deviation of all 60,000
    assert abs(pixels.std().item() / 0.3530 - 1) < 0.02


@pytest.mark.parametrize("name", SOURCES)
def test_normalisations(name):
    source = SOURCES[name]
    expected = {
        "mnist": ((0.0,), (1.0,)),
        "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "fashion-mnist": ((0.5,), (0.5,)),
        "fashion-mini": ((0.5,), (0.5,)),
    }.get(name, ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)))
    assert (source.mean, source.std) == expected
    assert source.lossy == (name == "cifar10-jpeg")


# Layouts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "folder"),
    [("mnist", "MNIST/raw"), ("fashion-mnist", "FashionMNIST/raw"), ("fashion-mnist", "fashion-mnist")],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_idx(alone, monkeypatch, name, folder, zipped):
    values = arrays()
    write_idx(alone / folder, values, zipped)
    allow(monkeypatch, name)
    loaded = data.load(name)
    check(loaded, values)
    assert (loaded.name, loaded.source) == (name, str(alone / folder))
    check(data.load(name, alone / folder), values)  # the folder itself as root


@pytest.mark.parametrize(
    ("name", "file", "channels", "size"),
    [("mnist", "mnist.npz", 1, 28), ("cifar10-lossless", "cifar10-lossless-6k.npz", 3, 32)],
)
def test_npz(alone, monkeypatch, name, file, channels, size):
    values = arrays(channels, size=size)
    np.savez(alone / file, **values)
    allow(monkeypatch, name)
    check(data.load(name), values)
    assert data.load(name).lossy is False


def test_cifar_batches(alone, monkeypatch):
    values = arrays(3, size=32)
    md5 = write_batches(alone / "cifar-10-batches-py", values)
    with pytest.raises(ValueError, match=r"data_batch_1 cannot be read .* its md5 is not the published one"):
        data.load("cifar10")
    monkeypatch.setattr("relstab.data.sources._cifar_md5", lambda: md5)
    with pytest.raises(ValueError, match="does not hold cifar10"):
        data.load("cifar10")
    allow(monkeypatch, "cifar10")
    loaded = data.load("cifar10")
    check(loaded, values)
    assert loaded.classes[3] == "cat"
    (alone / "cifar-10-batches-py" / "data_batch_4").unlink()
    with pytest.raises(ValueError, match="data_batch_4 cannot be read"):
        data.load("cifar10")


def test_the_digest_of_cifar_is_that_of_its_published_md5s():
    """Known without reading: a plan asks for it on machines that hold no images, and must fetch none."""
    md5 = sources._cifar_md5()
    assert data.digest("cifar10") == hashlib.sha256(repr(sorted(md5.items())).encode()).hexdigest()


def test_what_a_machine_lacks_is_told_without_reading_or_fetching(alone, monkeypatch):
    monkeypatch.setattr("relstab.data.images._download", lambda source: pytest.fail("a download was started"))
    data.require("fashion-mini", download=False)
    data.require("cifar10")
    with pytest.raises(FileNotFoundError, match=r"there is no cifar-10-batches-py in .*no download was tried"):
        data.require("cifar10", download=False)
    with pytest.raises(
        FileNotFoundError, match=r"cifar10-lossless-6k.npz in .*it is no public download; .*use cifar10"
    ):
        data.require("cifar10-lossless")
    (alone / "cifar10-lossless-6k.npz").write_bytes(b"looked at later")
    data.require("cifar10-lossless")


def test_published_md5_are_torchvisions():
    from relstab.data.sources import _cifar_md5

    assert sorted(_cifar_md5()) == [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    assert all(len(md5) == 32 for md5 in _cifar_md5().values())


def test_digest_does_not_depend_on_the_container(alone, monkeypatch):
    values = arrays()
    write_idx(alone / "idx", values, zipped=True)
    (alone / "npz").mkdir()
    np.savez(alone / "npz" / "mnist.npz", **values)
    allow(monkeypatch, "mnist")
    digests = {data.load("mnist", alone / folder).digest for folder in ("idx", "npz")}
    assert len(digests) == 1
    allow(monkeypatch, "mnist", digests.pop())
    check(data.load("mnist", alone / "idx"), values)
    assert data.digest("mnist") == SOURCES["mnist"].digest
    for key in values:
        other = {k: v.copy() for k, v in values.items()}
        other[key].flat[7] ^= 1
        np.savez(alone / "npz" / "mnist.npz", **other)
        with pytest.raises(ValueError, match=r"mnist\.npz is damaged or does not hold mnist: its sha256 is"):
            data.load("mnist", alone / "npz")


def test_imagenet(alone):
    for i in range(3):
        path = alone / "imagenet" / "val" / f"n0000000{2 - i}" / "x.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(np.full((256, 300, 3), 50 * i, np.uint8)).save(path)
    loaded = data.load("imagenet")
    assert len(loaded.train) == 0
    assert loaded.train.images.shape[1:] == loaded.test.images.shape[1:] == (3, 224, 224)
    assert loaded.test.images[:, 0, 0, 0].tolist() == [100, 50, 0]
    assert loaded.classes == ("n00000000", "n00000001", "n00000002")
    assert data.load("imagenet", alone / "imagenet" / "val", size=64).test.images.shape[-2:] == (64, 64)
    with tarfile.open(alone / "own.tar", "w") as archive:
        archive.add(alone / "imagenet" / "val", arcname="")
    assert torch.equal(data.load("imagenet", alone / "own.tar").test.images, loaded.test.images)
    (alone / "elsewhere").mkdir()
    with pytest.raises(ValueError, match=r"elsewhere', which holds no picture"):  # not silently the other one
        data.load("imagenet", alone / "elsewhere")
    with pytest.raises(ValueError, match="size is 0; it must be at least 1"):
        data.load("imagenet", size=0)
    with pytest.raises(ValueError, match="size is 64, but only imagenet"):
        data.load("fashion-mini", size=64)


# Where it is looked for ---------------------------------------------------------------------------


def test_search_order(alone, monkeypatch, tmp_path):
    places = [tmp_path / "root", alone, tmp_path / "here" / "data", tmp_path / "system", tmp_path / "cache/relstab"]
    monkeypatch.setitem(SOURCES, "mnist", replace(SOURCES["mnist"], places=(places[3],), digest=""))
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        np.savez(place / "mnist.npz", **arrays())
    for place in places:
        assert data.load("mnist", places[0]).source == str(place / "mnist.npz")
        (place / "mnist.npz").unlink()
    with pytest.raises(FileNotFoundError, match="mnist was not found"):
        data.load("mnist", places[0])


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "fashion-mini"])
def test_missing_data_say_what_where_and_how(alone, name):
    with pytest.raises(FileNotFoundError) as caught:
        data.load(name)
    message = str(caught.value)
    assert message.startswith(f"{name} was not found: there is no {SOURCES[name].layouts[0][0]}")
    assert f" in {alone}, " in message
    assert "RELSTAB_DATA" in message
    assert message.endswith(SOURCES[name].obtain)
    assert "\n" not in message
    public = name in ("mnist", "fashion-mnist", "cifar10")
    assert ("the download failed (<urlopen error no network in tests>)" if public else "no public download") in message
    if public:
        with pytest.raises(FileNotFoundError, match="a download was not allowed"):
            data.load(name, download=False)


def test_bad_names_and_roots(alone):
    with pytest.raises(ValueError, match=r"name is 'cifar'; it must be one of fashion-mnist, .*imagenet"):
        data.load("cifar")
    with pytest.raises(ValueError, match="name is 'cifar'"):
        data.digest("cifar")
    with pytest.raises(FileNotFoundError, match=r"root is '.*nowhere', which does not exist"):
        data.load("mnist", alone / "nowhere")


def test_download_appears_in_the_cache_whole(alone, monkeypatch, capsys):
    from relstab import vision

    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(alone / "cache"))
    monkeypatch.setenv("RELSTAB_DATA", "")
    monkeypatch.chdir(alone)
    values, calls = arrays(), []

    def fake(root, download):
        calls.append(root)
        print("Downloading")
        write_idx(Path(root) / "MNIST" / "raw", values)
        if len(calls) == 1:
            raise RuntimeError("Error downloading\nand more")  # after some files have been written

    monkeypatch.setattr(vision.datasets, "MNIST", fake)
    allow(monkeypatch, "mnist")
    with pytest.raises(FileNotFoundError, match=r"the download failed \(Error downloading\); put Keras'"):
        data.load("mnist")
    assert list((alone / "cache" / "relstab").iterdir()) == []
    check(data.load("mnist"), values)
    check(data.load("mnist"), values)
    assert len(calls) == 2
    assert capsys.readouterr().out == ""
    (alone / "cache" / "relstab" / "MNIST" / "raw" / formats.IDX_FILES[0]).unlink()
    with pytest.raises(FileNotFoundError, match="is incomplete"):
        data.load("mnist")


# Damage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("damage", ["cut", "longer", "empty", "other kind", "flipped"])
def test_damaged_idx(alone, monkeypatch, zipped, damage):
    write_idx(alone / "MNIST" / "raw", arrays(), zipped)
    allow(monkeypatch, "mnist")
    allow(monkeypatch, "mnist", data.load("mnist").digest)
    path = alone / "MNIST" / "raw" / (formats.IDX_FILES[2] + ".gz" * zipped)
    raw = gzip.decompress(path.read_bytes()) if zipped else path.read_bytes()
    raw = {
        "cut": raw[:-30],
        "longer": raw + b"\0",
        "empty": b"",
        "other kind": b"\0\0\x0d" + raw[3:],
        "flipped": raw[:100] + bytes([raw[100] ^ 1]) + raw[101:],
    }[damage]
    path.write_bytes(gzip.compress(raw) if zipped else raw)
    with pytest.raises(ValueError, match="damaged") as caught:
        data.load("mnist")
    assert damage == "flipped" or path.name in str(caught.value)
    if zipped:
        path.write_bytes(path.read_bytes()[:-5])
        with pytest.raises(ValueError, match=r"\.gz cannot be read as an idx file"):
            data.load("mnist")


@pytest.mark.parametrize("damage", ["cut", "key", "lengths", "pickle"])
def test_damaged_npz(alone, monkeypatch, damage):
    values = arrays()
    if damage == "key":
        values.pop("y_test")
    if damage == "lengths":
        values["y_test"] = values["y_test"][:-1]
    if damage == "pickle":
        values["x_train"] = np.array([None])
    np.savez(alone / "mnist.npz", **values)
    if damage == "cut":
        (alone / "mnist.npz").write_bytes((alone / "mnist.npz").read_bytes()[:5000])
    allow(monkeypatch, "mnist")
    error = Exception if damage == "lengths" else ValueError  # the shape checker of our test runs comes first
    with pytest.raises(error, match=None if damage == "lengths" else r"mnist\.npz cannot be read as an npz"):
        data.load("mnist")


def test_swapped_sets_are_not_confused(alone):
    write_idx(alone / "MNIST" / "raw", arrays())
    with pytest.raises(ValueError, match="raw is damaged or does not hold mnist: its sha256 is"):
        data.load("mnist")

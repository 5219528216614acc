"""relstab.data.cifar_jpeg: the JPEG re-encoding, its fixed order and its cache."""

import io
import shutil
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from data_files import allow, isolate
from PIL import Image

from relstab import data
from relstab.data import cifar_jpeg, formats
from relstab.data.sources import SOURCES


def write_jpegs(folder, count=3):
    rng = np.random.default_rng(1)
    for part in ("train", "test"):
        for label, name in enumerate(SOURCES["cifar10"].classes):
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                colour = np.full((32, 32, 3), 20 * label + i, np.uint8)
                colour[8:24, 8:24] = rng.integers(0, 255, 3)
                Image.fromarray(colour).save(folder / part / name / f"{i:04d}.jpg", quality=75)


@pytest.fixture
def jpegs(tmp_path, monkeypatch):
    """The folder and the archive of a small JPEG tree; any digest is allowed."""
    alone = isolate(tmp_path, monkeypatch)
    write_jpegs(alone / "CIFAR-10-images")
    with tarfile.open(alone / "cifar10-jpeg.tar.xz", "w:xz", preset=0) as archive:
        for part in ("train", "test"):
            archive.add(alone / "CIFAR-10-images" / part, arcname=part)
    allow(monkeypatch, "cifar10-jpeg")
    return alone


def test_jpegs_are_mixed_and_labelled(jpegs):
    loaded = data.load("cifar10-jpeg")
    assert (loaded.name, loaded.lossy) == ("cifar10-jpeg", True)
    assert loaded.train.images.shape == (30, 3, 32, 32)
    assert loaded.train.labels.bincount().tolist() == [3] * 10
    assert loaded.train.labels.tolist() != sorted(loaded.train.labels.tolist())
    order = cifar_jpeg.tree_order(formats.picture_names(jpegs / "CIFAR-10-images"))
    for part, split in (("train", loaded.train), ("test", loaded.test)):
        for i, name in enumerate([name for name in order if name.startswith(part)]):
            picture = np.asarray(Image.open(jpegs / "CIFAR-10-images" / name))
            assert np.array_equal(split.images[i].permute(1, 2, 0).numpy(), picture)
            assert loaded.classes[split.labels[i]] == name.split("/")[1]


def test_the_order_is_fixed():
    names = [f"test/{name}/{i:04d}.jpg" for name in SOURCES["cifar10"].classes for i in range(1000)]
    order = cifar_jpeg.tree_order(names)
    assert order[:2] == ["test/horse/0790.jpg", "test/frog/0017.jpg"]
    first = [name.split("/")[1] for name in order[:500]]
    assert min(first.count(name) for name in set(first)) > 30  # 50 +- 7 expected


def test_jpegs_archive_cache_and_folder_agree(jpegs):
    first, second = data.load("cifar10-jpeg"), data.load("cifar10-jpeg")
    (jpegs / "cifar10-jpeg.tar.xz").unlink()
    folder = data.load("cifar10-jpeg")
    assert folder.source.endswith("CIFAR-10-images")
    for other in (second, folder):
        assert other.digest == first.digest
        for part in ("train", "test"):
            assert torch.equal(getattr(first, part).images, getattr(other, part).images)
            assert torch.equal(getattr(first, part).labels, getattr(other, part).labels)
    assert len(list((jpegs.parent / "cache" / "relstab").iterdir())) == 2  # one each for archive and folder


def test_jpegs_are_decoded_once(jpegs, monkeypatch):
    data.load("cifar10-jpeg")
    monkeypatch.setattr(cifar_jpeg, "read_jpeg_tree", lambda *arguments: pytest.fail("decoded again"))
    data.load("cifar10-jpeg")


def test_of_eight_readers_at_once_one_decodes(jpegs, monkeypatch):
    decoded, read = [], cifar_jpeg.read_jpeg_tree

    def slow(*arguments):
        decoded.append(arguments)
        time.sleep(0.3)
        return read(*arguments)

    monkeypatch.setattr(cifar_jpeg, "read_jpeg_tree", slow)
    with ThreadPoolExecutor(8) as pool:
        digests = {found.digest for found in pool.map(data.load, ["cifar10-jpeg"] * 8)}
    assert len(digests) == len(decoded) == 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other arrays"])
def test_damaged_cache_is_a_miss_and_said(jpegs, damage):
    first = data.load("cifar10-jpeg")
    (cache,) = (jpegs.parent / "cache" / "relstab").iterdir()
    content = bytearray(cache.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "other arrays":
        buffer = io.BytesIO()
        np.savez(buffer, x=np.zeros(3))
        content = buffer.getvalue()
    cache.write_bytes({"cut": content[:9000], "empty": b""}.get(damage, bytes(content)))
    with pytest.warns(UserWarning, match="cannot be read as decoded images .*; the images are decoded again"):
        second = data.load("cifar10-jpeg")
    assert torch.equal(first.train.images, second.train.images)
    assert torch.equal(data.load("cifar10-jpeg").train.images, first.train.images)  # repaired, no warning


def test_a_cache_that_cannot_be_written_is_said(jpegs):
    (jpegs.parent / "cache").mkdir()
    (jpegs.parent / "cache" / "relstab").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="could not be kept in .*cifar10-jpeg"):
        assert len(data.load("cifar10-jpeg").train) == 30


def test_a_changed_archive_is_not_read_from_the_cache(jpegs):
    first = data.load("cifar10-jpeg")
    with tarfile.open(jpegs / "cifar10-jpeg.tar.xz", "w:xz", preset=0) as archive:
        Image.fromarray(np.full((32, 32, 3), 77, np.uint8)).save(
            jpegs / "CIFAR-10-images" / "test" / "cat" / "0000.jpg"
        )
        for part in ("train", "test"):
            archive.add(jpegs / "CIFAR-10-images" / part, arcname=part)
    assert data.load("cifar10-jpeg").digest != first.digest


def test_damaged_jpeg_trees(jpegs, monkeypatch):
    allow(monkeypatch, "cifar10-jpeg", "0" * 64)
    with pytest.raises(ValueError, match=r"tar\.xz is damaged or does not hold cifar10-jpeg"):
        data.load("cifar10-jpeg")
    content = (jpegs / "cifar10-jpeg.tar.xz").read_bytes()
    (jpegs / "cifar10-jpeg.tar.xz").write_bytes(content[:-200])
    with pytest.raises(ValueError, match=r"tar\.xz cannot be read as a folder or tar archive"):
        data.load("cifar10-jpeg")
    (jpegs / "cifar10-jpeg.tar.xz").unlink()
    shutil.rmtree(jpegs / "CIFAR-10-images" / "test" / "ship")
    with pytest.raises(ValueError, match=r"has the folders airplane.* under test/; they must be"):
        data.load("cifar10-jpeg")

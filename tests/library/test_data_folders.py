"""relstab.data.folders: folders, archives and npz files of anybody's images; ImageNet's class folders."""

import hashlib
import io
import subprocess
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from relstab.data import folders, formats, load_folder, load_npz


def pixels(seed, height=10, width=12, channels=3):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return values[..., 0] if channels == 1 else values


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def pack(folder, target, mode="w"):
    with tarfile.open(target, mode) as archive:
        archive.add(folder, arcname=".")  # members are called ./name, as with `tar c .`
    return target


def test_folder_golden(tmp_path):
    arrays = [pixels(i) for i in range(4)]
    for name, array in zip(["b/2.png", "a/1.png", "b/1.PNG", "a/deep/er.png"], arrays, strict=True):
        save(tmp_path / name, array)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "a" / "._1.png").write_text("a Mac's shadow")
    split = load_folder(tmp_path)
    expected = np.stack([arrays[i] for i in (1, 3, 2, 0)]).transpose(0, 3, 1, 2)  # sorted by name
    assert np.array_equal(split.images.numpy(), expected)
    assert split.labels.tolist() == [0, 0, 1, 1]
    assert split.images.is_contiguous()


def test_archive_equals_folder(tmp_path):
    for i in range(5):
        save(tmp_path / "f" / f"{i % 2}" / f"{i}.png", pixels(i))
    from_folder = load_folder(tmp_path / "f")
    for name, mode in [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tar.xz", "w:xz")]:
        from_archive = load_folder(pack(tmp_path / "f", tmp_path / name, mode))
        assert torch.equal(from_archive.images, from_folder.images)
        assert torch.equal(from_archive.labels, from_folder.labels)


def test_grey_stays_grey_and_mixtures_become_colour(tmp_path):
    save(tmp_path / "0.png", pixels(0, channels=1))
    save(tmp_path / "1.png", pixels(1, channels=1))
    split = load_folder(tmp_path)
    assert np.array_equal(split.images[:, 0].numpy(), np.stack([pixels(0, channels=1), pixels(1, channels=1)]))
    assert split.images.shape[1] == 1
    assert split.labels.tolist() == [-1, -1]
    save(tmp_path / "2.png", pixels(2))
    mixed = load_folder(tmp_path).images
    assert mixed.shape[1] == 3
    assert torch.equal(mixed[0], split.images[0].expand(3, -1, -1))


def test_size_resizes_the_short_side_and_crops_the_centre(tmp_path):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    save(tmp_path / "wide.png", wide)
    save(tmp_path / "tall.png", wide.transpose(1, 0, 2))
    images = load_folder(tmp_path, size=20).images
    assert images.shape == (2, 3, 20, 20)
    assert bool((images == 200).all())
    half = load_folder(tmp_path, size=10).images
    assert half.shape == (2, 3, 10, 10)
    assert bool((half[:, :, 1:-1, 1:-1] == 200).all())
    assert bool((half > 150).all())  # antialiasing takes a little from beyond the edge


def test_pictures_are_taken_as_stored(tmp_path):
    """As torchvision does, and as `relstab probe --help` says: colours under transparency, no EXIF, the first frame."""
    colour = pixels(1)
    save(tmp_path / "1.png", np.concatenate([colour, np.zeros((10, 12, 1), np.uint8)], -1))
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(colour).save(tmp_path / "2.png", exif=turned)
    frames = [Image.fromarray(pixels(seed)) for seed in (1, 2)]
    frames[0].save(tmp_path / "3.webp", save_all=True, append_images=frames[1:], lossless=True)
    for image in load_folder(tmp_path).images:
        np.testing.assert_array_equal(image.permute(1, 2, 0), colour)


def test_count_is_evenly_spaced(tmp_path):
    for i in range(10):
        save(tmp_path / f"class{i // 5}" / f"{i}.png", np.full((4, 4, 3), i, np.uint8))
    assert load_folder(tmp_path, count=4).images[:, 0, 0, 0].tolist() == [0, 2, 5, 7]
    assert load_folder(tmp_path, count=2).labels.tolist() == [0, 1]
    assert len(load_folder(tmp_path, count=99)) == 10


def test_folder_bad_input(tmp_path, unchecked):
    with pytest.raises(FileNotFoundError, match=r"nowhere', which does not exist"):
        load_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no picture files"):
        load_folder(tmp_path)
    save(tmp_path / "a.png", pixels(0))
    with pytest.raises(ValueError, match="size is 0; it must be at least 1"):
        load_folder(tmp_path, size=0)
    with pytest.raises(ValueError, match="count is -1; it must be at least 1"):
        load_folder(tmp_path, count=-1)
    save(tmp_path / "b.png", pixels(1, height=11))
    with pytest.raises(ValueError, match=r"10 x 12 in a.png, 11 x 12 in b.png; give a size"):
        load_folder(tmp_path)
    assert load_folder(tmp_path, size=8).images.shape == (2, 3, 8, 8)


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "deep"])
def test_damaged_picture_is_named(tmp_path, damage):
    save(tmp_path / "a.png", pixels(0))
    content = (tmp_path / "a.png").read_bytes()
    broken = tmp_path / "b.png"
    if damage == "deep":
        Image.fromarray(np.full((10, 12), 40_000, np.uint16)).save(broken)
    else:
        broken.write_bytes({"cut": content[: len(content) // 2], "garbage": b"not a picture", "empty": b""}[damage])
    with pytest.raises(ValueError, match=r"b\.png cannot be read as a picture"):
        load_folder(tmp_path)
    with pytest.raises(ValueError, match=r"b\.png cannot be read as a picture"):
        load_folder(pack(tmp_path, tmp_path.parent / f"{damage}.tar"))


def test_damaged_archives(tmp_path):
    for i in range(20):
        save(tmp_path / "f" / f"{i}.png", pixels(i))
    whole = pack(tmp_path / "f", tmp_path / "whole.tar.xz", "w:xz").read_bytes()
    for name, content in [("cut.tar.xz", whole[: len(whole) // 2]), ("noise.tar.xz", b"noise" * 400)]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} cannot be read as a folder or tar archive"):
            load_folder(tmp_path / name)


# ImageNet ------------------------------------------------------------------------------------------


def test_imagenet_by_name_and_by_folder(tmp_path):
    wnids = ["n00000003", "n00000001", "n00000002"]
    for i, wnid in enumerate(wnids):
        save(tmp_path / "flat" / f"{wnid}_thing.png", pixels(i, 256, 300))
        save(tmp_path / "tree" / wnid / "ILSVRC2012_val_00000001.png", pixels(i, 256, 300))
    (split, classes, digest), (other, names, other_digest) = (
        folders.load_imagenet(tmp_path / kind) for kind in ("flat", "tree")
    )
    assert classes == names == ("n00000001", "n00000002", "n00000003")
    assert split.labels.tolist() == other.labels.tolist() == [0, 1, 2]
    assert torch.equal(split.images, other.images)
    assert digest != other_digest  # the names belong to the source
    assert np.array_equal(split.images[2].permute(1, 2, 0).numpy(), pixels(0, 256, 300)[16:240, 38:262])
    small, _, small_digest = folders.load_imagenet(tmp_path / "flat", 112)
    assert small.images.shape == (3, 3, 112, 112)
    assert small_digest != digest


def test_imagenet_every_second_class(tmp_path, monkeypatch):
    wnids = [f"n{i:08d}" for i in range(500)]
    monkeypatch.setattr(folders, "_EVERY_SECOND_CLASS", hashlib.sha256("\n".join(wnids).encode()).hexdigest())
    for wnid in wnids:
        save(tmp_path / f"{wnid}_x.png", pixels(0, 8, 8, channels=1))
    split, classes, _ = folders.load_imagenet(tmp_path, 7)
    assert split.labels.tolist() == list(range(0, 1000, 2))
    assert split.images.shape == (500, 3, 7, 7)  # grey pictures, for networks that want colour
    assert len(classes) == 1000
    assert classes[0] == "tench"


def test_imagenet_bad_input(tmp_path):
    save(tmp_path / "ILSVRC2012_val_00000001.png", pixels(0, 8, 8))
    with pytest.raises(ValueError, match=r"00001\.png has no WordNet id"):
        folders.load_imagenet(tmp_path)
    with pytest.raises(ValueError, match="size is 0"):
        folders.load_imagenet(tmp_path, 0)
    archive = pack(tmp_path, tmp_path.parent / folders.IMAGENET_SAMPLE)
    with pytest.raises(ValueError, match="it is damaged or another file"):
        folders.load_imagenet(archive)


def test_digest_is_that_of_sha256sum(tmp_path):
    for name in ("b.png", "a.png", "c/d.png"):
        save(tmp_path / name, pixels(len(name)))
    names = formats.picture_names(tmp_path)
    listing = subprocess.run(["sha256sum", *names], cwd=tmp_path, capture_output=True, check=True).stdout
    assert folders.read_pictures(tmp_path, names[::-1])[1] == hashlib.sha256(listing).hexdigest()


# npz -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4, 8, 9), (4, 1, 8, 9)),
        ((4, 8, 9, 3), (4, 3, 8, 9)),
        ((4, 3, 8, 9), (4, 3, 8, 9)),
        ((4, 8, 9, 1), (4, 1, 8, 9)),
    ],
)
@pytest.mark.parametrize(("key", "label_key"), [("images", "labels"), ("x", "y"), ("x_test", "y_test")])
def test_npz_layouts(tmp_path, shape, expected, key, label_key):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.savez(tmp_path / "a.npz", **{key: array, label_key: np.array([[3], [1], [0], [2]], np.uint8)})
    split = load_npz(tmp_path / "a.npz")
    assert split.images.shape == expected
    assert split.images.dtype == torch.uint8
    first = array if shape[1] == 3 else array[:, None] if len(shape) == 3 else np.moveaxis(array, -1, 1)
    assert np.array_equal(split.images.numpy(), first)
    assert split.labels.tolist() == [3, 1, 0, 2]


@pytest.mark.parametrize(("kind", "kept"), [("f2", "f4"), ("f4", "f4"), ("f8", "f8")])
def test_npz_floats_stay_as_they_are(tmp_path, kind, kept):
    array = np.linspace(-2, 2, 4 * 64).reshape(4, 8, 8).astype(kind)
    np.savez(tmp_path / "a.npz", x=array)
    split = load_npz(tmp_path / "a.npz")
    assert split.images.numpy().dtype == kept
    assert np.array_equal(split.images[:, 0].numpy(), array)
    assert split.labels.tolist() == [-1] * 4


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((2, 4, 4))}, "its arrays are pictures; one must be images, x or x_test"),
        ({"x": np.zeros((2, 4))}, r"array 'x' of .* has shape \(2, 4\)"),
        ({"x": np.zeros((2, 4, 4, 4))}, r"has shape \(2, 4, 4, 4\); it must be"),
        ({"x": np.zeros((2, 3, 4, 3))}, r"has shape \(2, 3, 4, 3\); it must be"),
        ({"x": np.zeros((2, 4, 4), np.int64)}, "type int64; it must be uint8 or a float type"),
        ({"x": np.full((2, 4, 4), np.nan)}, "array 'x' of .* has values that are not finite"),
        ({"x": np.zeros((2, 4, 4)), "y": np.zeros(3, int)}, "one for each of the 2 images"),
        ({"x": np.zeros((2, 4, 4)), "y": np.zeros(2)}, "array 'y' of .* labels must be integers"),
        ({"x": np.array([None, None])}, "cannot be read as an npz"),
    ],
)
def test_npz_bad_arrays(tmp_path, unchecked, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        load_npz(tmp_path / "a.npz")


def test_npz_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="which does not exist; it must be an npz"):
        load_npz(tmp_path / "a.npz")
    buffer = io.BytesIO()
    np.savez(buffer, x=np.arange(2 * 64, dtype=np.uint8).reshape(2, 8, 8))
    content = buffer.getvalue()
    flipped = bytearray(content)
    flipped[content.index(bytes(range(20, 40)))] ^= 1
    array = io.BytesIO()
    np.save(array, np.zeros((2, 8, 8)))
    for damage in (content[: len(content) // 2], b"", b"no zip", bytes(flipped), array.getvalue()):
        (tmp_path / "a.npz").write_bytes(damage)
        with pytest.raises(ValueError, match=r"a\.npz cannot be read as an npz"):
            load_npz(tmp_path / "a.npz")

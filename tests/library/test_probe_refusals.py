"""What `relstab probe` cannot do it says in one sentence, with exit code 2 and no file written."""

import builtins
import hashlib
import http.server
import json
import os
import pickle
import socket
import tarfile
import threading
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from relstab import cli, models
from relstab.data import formats
from relstab.models import load as loading
from relstab.probes import command as probe

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*TypedStorage is deprecated"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
]
CODE = """
import torch
from torch import nn

def raises(kind):
    def factory():
        raise kind("boom")
    return factory

runtime, key, attribute = (raises(kind) for kind in (RuntimeError, KeyError, AttributeError))
number = 3

class Wrong(nn.Module):
    kind = RuntimeError
    def forward(self, images):
        raise self.kind("boom")

class Index(Wrong):
    kind = IndexError

class Assertion(Wrong):
    kind = AssertionError

class Two(nn.Module):
    def forward(self, images, more):
        return images

def function(images=None):
    return images

made = nn.Sequential(nn.Flatten(), nn.Linear(784, 3))
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "somebodys.py").write_text(CODE)
    (tmp_path / "broken.py").write_text("def (")
    (tmp_path / "raising.py").write_text("raise LookupError('not today')")
    return tmp_path


def probed(*arguments, images="fashion-mini", model="relstab:lenet"):
    """The exit code of a probe with small settings; `arguments` may override them."""
    given = ["--layers", "output", "--count", "8", *arguments]
    given += [] if "--images" in arguments else ["--images", images]
    if "--model" not in arguments:
        given += ["--model", model, *(["--option", "in_channels=1"] if model.startswith("relstab:") else [])]
    return cli.main(["probe", *given])


def refused(capsys, *arguments, **settings):
    """The sentence with which a probe is refused."""
    assert probed(*arguments, **settings) == 2
    error = capsys.readouterr().err
    assert error.startswith("relstab: ") and len(error.splitlines()) == 1 and len(error) < 900
    return error


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "torchvision:resnet18"], "--model torchvision:resnet18 fails on these images of 1 x 28 x 28"),
        (["--model", "torchvision.models:resnet18"], "fails on these images of 1 x 28 x 28"),
        (["--model", "torchvision:vit_b_16"], "AssertionError: Wrong image height! Expected 224 but got 28!"),
        (["--model", "torchvision:raft_small"], "--model torchvision:raft_small fails on these images"),
        (["--model", "torch.nn:Module"], "NotImplementedError"),
        (["--model", "somebodys:Two"], "TypeError: Two.forward() missing 1 required positional argument: 'more'"),
        (["--model", "somebodys:Wrong"], "--model somebodys:Wrong fails on these images of 1 x 28 x 28"),
        (["--model", "somebodys:Index"], "IndexError: boom"),
        (["--model", "somebodys:Assertion"], "AssertionError: boom"),
        (["--model", "somebodys:runtime"], "cannot be built with the options {}: RuntimeError: boom"),
        (["--model", "somebodys:key"], "KeyError: 'boom'"),
        (["--model", "somebodys:attribute"], "AttributeError: boom"),
        (["--model", "somebodys:function"], "gives a NoneType, not a torch.nn.Module"),
        (["--model", "somebodys:number"], "is a int, no factory of a torch.nn.Module"),
        (["--model", "somebodys:nothing"], "has no 'nothing'"),
        (["--model", "broken:x"], "importing 'broken' fails: SyntaxError"),
        (["--model", "raising:x"], "importing 'raising' fails: LookupError: not today"),
        (["--model", ".:x"], "importing '.' fails"),
        (["--model", "..:x"], "importing '..' fails"),
        (["--model", ""], "--model is ''; it must be"),
        (["--model", ":x"], "--model is ':x'; it must be"),
        (["--model", "/dev/null.pt2"], "which does not exist"),
        (["--device", "cuda:7"], "--device is 'cuda:7', but"),
        (["--device", "xla"], "--device is 'xla'; it must be auto, cpu, cuda, cuda:N or mps"),
        (["--device", "x"], "--device is 'x'; it must be auto, cpu"),
        (["--device", "meta"], "--device is 'meta'; it must be auto, cpu"),
        (["--device", ""], "--device is '', an empty name"),
        (["--device", "cpu:3"], "--device is 'cpu:3', but there are 1 of its kind"),
        (["--cut", "20000"], "--cut is 20000; it must be from 2 to 28, the side of the images"),
        (["--cut", "100000000"], "--cut is 100000000; it must be"),
        (["--cut", "1"], "--cut is 1; it must be from 2 to 28"),
        (["--displacement", "1e308"], "--displacement is 1e+308; it must be above 0 and at most 28"),
        (["--displacement", "nan"], "--displacement is nan; it must be above 0"),
        (["--size", "0"], "--size is 0; it must be from 1 to 8192 pixels"),
        (["--size", "-1"], "--size is -1"),
        (["--size", "1000000"], "--size is 1000000"),
        (["--option", "width=1e9"], "relstab:lenet"),
        (["--option", "num_classes=1000000000000"], "cannot be built with the options"),
        (["--seed", str(10**23)], "--seed is 100000000000000000000000; it must be from 0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--draws", "0"], "--draws is 0; it must be from 1"),
        (["--batch-size", "0"], "--batch-size is 0; it must be from 1"),
        (["--count", "1"], "at least 2 images"),
        (["--images", ""], "--images is '', an empty name"),
        (["--layers", ""], "--layers is '', an empty name"),
        (["--curve", ""], "--curve is '', an empty name"),
        (["--weights", ""], "--weights is '', which names no file"),
        (["--weights", "."], "--weights is '.', which is no file"),
        (["--weights", os.devnull], "which is no file"),
        (["--weights", "a", "--weights", "b"], "--weights is given 2 times for 1 --model"),
        (["--error", "0.1", "--error", "0.2"], "--error is given 2 times for 1 --model"),
        (["--pretrained"], "--pretrained goes with torchvision:NAME and timm:NAME, not with --model relstab:lenet"),
        (["--pretrained", "--weights", "a"], "--pretrained and --weights are both given"),
        (["--curve", "c.png", "--displacement", "1.7"], "--curve has nothing to compare with at displacement 1.7 px"),
        (["--normalise", "imagenet"], "for 3 channels; the images have 1"),
    ],
)
def test_a_request_that_makes_no_sense(place, capsys, unchecked, arguments, sentence):
    assert sentence in refused(capsys, *arguments)
    assert not list(place.glob("*.png"))


def test_a_device_that_is_not_there(place, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert "--device is 'cuda', but torch" in refused(capsys, "--device", "cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert "finds no such device here" in refused(capsys, "--device", "mps")


def test_what_stands_behind_a_sentence_can_be_seen(place, monkeypatch):
    monkeypatch.setenv("RELSTAB_DEBUG", "1")
    with pytest.raises(ValueError, match="boom") as caught:
        probed(model="somebodys:runtime")
    assert isinstance(caught.value.__cause__, RuntimeError)


# Weights -------------------------------------------------------------------------------------------------


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def state():
    return models.build("lenet", in_channels=1, generator=torch.Generator().manual_seed(0)).state_dict()


def first(**changes):
    """The state dict with its first tensor changed."""
    name = next(iter(state()))
    return {**state(), name: changes["to"](state()[name])}


WEIGHTS = {
    "text": (b"hello weights, this is no weights file", "which is text and no file of weights"),
    "four letters": (b"oops", "which is text"),
    "json": (b'{"conv1.weight": [1, 2]}', "which is JSON and no file of weights"),
    "html": (b"\n<!DOCTYPE html><html>not found</html>", "which is HTML or XML and no file"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a pointer of Git LFS"),
    "empty": (b"", "which is empty"),
    "opcode": (b"\x80\x02.", "cannot be read"),
    "bytes": (bytes(range(256)) * 4, "cannot be read"),
    "pickled code": (pickle.dumps(Evil(), protocol=2), "which would have to run code to load"),
    "newer pickled code": (pickle.dumps(Evil(), protocol=4), "it is no file of torch.save"),
    "pickled list": (pickle.dumps([1, 2]), "which"),
    "number names": ({1: torch.ones(1)}, "has the name 1, which is no text"),
    "pair names": ({("a", 1): torch.ones(1)}, "has the name ('a', 1), which is no text"),
    "no tensors": ({"a": 3}, "which holds no state dict"),
    "nothing": ({}, "which holds no state dict"),
    "nan": (first(to=lambda value: value * float("nan")), "holds NaN or infinite values"),
    "int8": (first(to=lambda value: value.to(torch.int8)), "is torch.int8, not torch.float32"),
    "complex": (first(to=lambda value: value.to(torch.complex64)), "is torch.complex64, not torch.float32"),
    "twice": ({**state(), "module." + next(iter(state())): torch.zeros(1)}, "comes twice, with the prefix"),
    "other shapes": ({name: value[:1] for name, value in state().items()}, "do not fit the model relstab:lenet"),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_a_file_of_weights_that_is_none(place, capsys, kind, unchecked):
    content, sentence = WEIGHTS[kind]
    path = place / "w.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    error = refused(capsys, "--weights", str(path))
    assert sentence in error and "w.pth" in error


def test_weights_are_read_whatever_wrapped_them(place):
    torch.save({"model": {f"_orig_mod.module.{name}": value for name, value in state().items()}}, "w.pt")
    torch.save(state(), "old.pt", _use_new_zipfile_serialization=False)
    for name in ("w.pt", "old.pt"):
        loaded = probe.load_model("relstab:lenet", weights=name, options={"in_channels": 1}).state_dict()
        assert all(torch.equal(value, loaded[key]) for key, value in state().items())


def test_every_flipped_bit_of_a_parameter_is_noticed(place):
    torch.save(state(), "w.pt")
    whole = bytearray((place / "w.pt").read_bytes())
    with zipfile.ZipFile("w.pt") as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    generator = np.random.default_rng(0)
    for _ in range(20):
        damaged = bytearray(whole)
        start = largest.header_offset + 30 + len(largest.filename) + 100
        damaged[start + int(generator.integers(largest.file_size - 100))] ^= 1 << int(generator.integers(8))
        (place / "w.pt").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"w\.pt.* does not have the checksum that the file states"):
            loading.load_state("w.pt")


# Images --------------------------------------------------------------------------------------------------


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def archive(path, content):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.npy", content)
    return path


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda place: npz(place / "i.npz", x=np.float32(3)), "its 'x' is no array of images"),
        (lambda place: archive(place / "i.npz", b"no array"), "its 'x' is no array of images"),
        (lambda place: archive(place / "i.npz", np.lib.format.magic(1, 0) + b"\x76\x00" + (
            b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000, 2700), }" + b" " * 43 + b"\n")[:118]),
         "cannot be read as an npz"),
    ],
)  # fmt: skip
def test_an_archive_of_arrays_that_is_none(place, capsys, make, sentence):
    assert sentence in refused(capsys, "--images", str(make(place)))


def test_an_archive_that_unpacks_to_more_than_it_may(place, capsys, monkeypatch):
    monkeypatch.setattr(formats, "LARGEST_NPZ", 10**6)
    np.savez_compressed(place / "i.npz", x=np.zeros((2000, 28, 28), np.uint8))
    assert (place / "i.npz").stat().st_size < 10**5
    assert "its arrays take 0 GB, more than 0" in refused(capsys, "--images", "i.npz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_pictures_that_would_be_read_for_ever(place, capsys):
    folder = place / "pictures"
    folder.mkdir()
    os.mkfifo(folder / "a.png")
    assert "a.png cannot be read as a picture" in refused(capsys, "--images", str(folder))
    (folder / "a.png").unlink()
    (folder / "a.png").symlink_to("/dev/zero")
    assert "it is no regular file" in refused(capsys, "--images", str(folder))


def test_pictures_that_are_too_large_to_be_any(place, capsys, monkeypatch):
    monkeypatch.setattr(formats, "LARGEST_PICTURE", 10**5)
    folder = place / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(bytes(2 * 10**5))
    assert "a file of 0 MB, more than 0, is no picture" in refused(capsys, "--images", str(folder))
    with tarfile.open(place / "p.tar", "w") as file:
        file.add(folder / "a.png", "a.png")
    assert "is no picture" in refused(capsys, "--images", "p.tar")


def test_a_picture_of_no_format_is_named_without_a_place_in_memory(place, capsys):
    (place / "pictures").mkdir()
    (place / "pictures" / "a.png").write_bytes(b"no picture")
    error = refused(capsys, "--images", "pictures")
    assert "a.png cannot be read as a picture" in error and "0x" not in error


# What is written, and when the network is used -----------------------------------------------------------


def test_a_file_that_cannot_be_written_is_named_and_the_old_one_stays(place, capsys, monkeypatch):
    (place / "t.csv").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "--save is 't.csv', which cannot be written: No space left" in refused(capsys, "--save", "t.csv")
    assert (place / "t.csv").read_text() == "old" and sorted(path.suffix for path in place.iterdir()).count(".tmp") == 0


def test_pictures_need_matplotlib_and_say_so_before_anything_is_measured(place, capsys, monkeypatch):
    real = builtins.__import__
    monkeypatch.setattr(loading, "load_model", lambda *_, **__: pytest.fail("measured first"))
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert builtins.__import__ is real
    assert "a picture needs the package matplotlib: pip install 'relstab[probe]'" in refused(capsys, "--save", "p.png")


def test_no_weights_are_fetched_unless_asked_for(place, capsys, monkeypatch):
    def no_network(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(socket, "socket", no_network)
    monkeypatch.setenv("TORCH_HOME", str(place))
    probe.load_model("torchvision:deeplabv3_mobilenet_v3_large")  # whose default fetches a backbone
    error = refused(capsys, "--pretrained", "--model", "torchvision:resnet18")
    assert "--pretrained cannot fetch the weights of torchvision:resnet18 (" in error
    assert "give a file of them to --weights" in error


def test_published_weights_come_with_their_normalisation(place, capsys, monkeypatch):
    """Taken from torch's cache, where torchvision looks before it asks the network."""
    from relstab.vision import models as zoo

    monkeypatch.setenv("TORCH_HOME", str(place))
    cache = place / "hub" / "checkpoints" / zoo.get_model_weights("squeezenet1_1").DEFAULT.url.rpartition("/")[2]
    cache.parent.mkdir(parents=True)
    torch.save(probe.load_model("torchvision:squeezenet1_1", seed=5).state_dict(), cache)
    np.savez("i.npz", x=np.random.default_rng(0).random((8, 32, 32, 3)))
    table = ["--save", "t.json", "--images", "i.npz", "--model", "torchvision:squeezenet1_1", "--layers", "output"]
    assert probed("--pretrained", *table) == 0
    assert "with its published weights" in capsys.readouterr().out
    with_pretrained = json.loads((place / "t.json").read_text())
    assert probed("--weights", str(cache), "--normalise", "imagenet", *table) == 0
    assert json.loads((place / "t.json").read_text()) == with_pretrained
    assert loading.expected_normalisation("torchvision:resnet18")[0] == (0.485, 0.456, 0.406)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.mark.parametrize("damaged", [False, True])
def test_published_weights_are_fetched_once_and_held_to_their_digest(place, capsys, monkeypatch, damaged):
    """From a server on this machine: torch fetches, compares the digest in the name, and keeps the file."""
    from relstab.vision import models as zoo

    torch.save(probe.load_model("torchvision:squeezenet1_1", seed=5).state_dict(), "w.pth")
    content = (place / "w.pth").read_bytes()
    name = f"squeezenet1_1-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (place / name).write_bytes(content[:-1] + b"x" if damaged else content)
    np.savez("i.npz", x=np.random.default_rng(0).random((8, 32, 32, 3)))
    monkeypatch.setenv("TORCH_HOME", str(place))
    given = ["--pretrained", "--images", "i.npz", "--model", "torchvision:squeezenet1_1"]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/{name}"
        monkeypatch.setattr(zoo.get_model_weights("squeezenet1_1").DEFAULT.value, "url", url)
        if damaged:
            assert probed(*given) == 2
            error = capsys.readouterr().err.splitlines()[-1]  # after the bar of the download
            assert error.startswith("relstab: --pretrained cannot fetch the weights of torchvision:squeezenet1_1 (Runt")
        else:
            assert probed(*given) == 0
        server.shutdown()
    kept = list((place / "hub" / "checkpoints").iterdir())
    if not damaged:
        assert [path.name for path in kept] == [name]
        assert probed(*given) == 0  # without the server
        assert "with its published weights" in capsys.readouterr().out
    else:
        assert kept == []


def test_several_networks_stand_beside_each_other(place, capsys):
    for seed in (1, 2):
        torch.save(models.build("lenet", generator=torch.Generator().manual_seed(seed)).state_dict(), f"{seed}.pt")
    np.savez("i.npz", x=np.random.default_rng(0).random((8, 32, 32, 3)))
    both = ["--model", "relstab:lenet", "--model", "relstab:lenet", "--weights", "1.pt", "--weights", "2.pt"]
    saves = ["--save", "t.json", "--save", "p.png", "--curve", "c.png", "--error", ".3", "--error", ".4"]
    assert probed(*both, "--images", "i.npz", *saves) == 0
    said = capsys.readouterr().out
    rows = json.loads((place / "t.json").read_text())
    assert [row["model"] for row in rows] == ["relstab:lenet (1.pt)", "relstab:lenet (2.pt)"]
    assert "At the output" in said and f"{rows[0]['R']:.4g}" in said
    for seed, row in zip((1, 2), rows, strict=True):  # each as if it were alone
        one = ["--model", "relstab:lenet", "--weights", f"{seed}.pt", "--save", "o.json"]
        assert probed(*one, "--images", "i.npz") == 0
        (alone,) = json.loads((place / "o.json").read_text())
        assert {**alone, "model": row["model"]} == row
    with Image.open("p.png") as profile, Image.open("c.png") as curve:
        assert profile.size[0] > 100 and curve.size[0] > 100


def test_a_network_made_in_the_users_module_is_taken_as_it_is(place, capsys):
    assert probed(model="somebodys:made") == 0
    said = capsys.readouterr().out
    assert "as its factory makes it" in said and "R = " in said

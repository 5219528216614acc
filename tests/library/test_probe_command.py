"""`relstab probe` on small networks: what it prints equals `relstab.sensitivity`, and unsafe weights are refused."""

import io
import pickle
import sys
import types

import numpy as np
import pandas as pd
import pytest
import torch

import relstab
from relbook import registry
from relbook.studies.zoo import compare
from relstab import cli, data, models, train
from relstab.probes import command as probe
from relstab.probes import picture
from relstab.store import Rows
from relstab.train import recipes


@pytest.fixture
def pictures(tmp_path):
    path = tmp_path / "pictures.npz"
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    np.savez(path, x=images)
    return path


def test_table_equals_the_python_call(tmp_path, pictures, capsys):
    model = models.build("lenet", generator=torch.Generator().manual_seed(5))
    torch.save(model.state_dict(), tmp_path / "lenet.pt")
    target = tmp_path / "table.csv"
    arguments = [
        "probe",
        "--model",
        "relstab:lenet",
        "--weights",
        str(tmp_path / "lenet.pt"),
        "--images",
        str(pictures),
        "--normalise",
        "cifar10",
        "--seed",
        "3",
        "--save",
        str(target),
    ]
    assert cli.main(arguments) == 0
    images = probe.load_images(str(pictures), normalisation="cifar10")
    expected = relstab.sensitivity(model, images, generator=torch.Generator().manual_seed(3))
    pd.testing.assert_frame_equal(pd.read_csv(target), expected, rtol=1e-5)
    assert "displacement 1 px, cut 3" in capsys.readouterr().out


def test_an_untrained_batch_norm_is_measured_alike_in_python_and_by_the_command(tmp_path, pictures, capsys):
    arguments = ["--model", "relstab:cifar_resnet20", "--images", str(pictures), "--draws", "2", "--seed", "3"]
    target = tmp_path / "table.csv"
    assert cli.main(["probe", *arguments, "--save", str(target)]) == 0
    model, images = probe.load_model("relstab:cifar_resnet20", seed=3), probe.load_images(str(pictures))
    expected = relstab.sensitivity(model, images, draws=2, seed=3)
    pd.testing.assert_frame_equal(pd.read_csv(target), expected, rtol=1e-5)
    assert expected.attrs["batch_statistics"]
    assert "at initialisation, BatchNorm by batch statistics; 12 images" in capsys.readouterr().out


def test_folding_is_said(pictures, capsys):
    arguments = ["--model", "relstab:lenet", "--images", str(pictures), "--layers", "output"]
    assert cli.main(["probe", *arguments, "--displacement", "4", "--cut", "10"]) == 0
    error = capsys.readouterr().err
    assert error.startswith("relstab: ") and "fold" in error and len(error.splitlines()) == 1


def test_picture_and_json_are_written(tmp_path, pictures):
    targets = [tmp_path / name for name in ("profile.png", "table.json")]
    saves = [word for target in targets for word in ("--save", str(target))]
    assert cli.main(["probe", "--model", "relstab:lenet", "--images", str(pictures), "--layers", "output", *saves]) == 0
    assert targets[0].read_bytes().startswith(b"\x89PNG") and pd.read_json(targets[1]).loc[0, "layer"] == "output"


def test_untrained_network_is_reproducible_and_leaves_the_global_state():
    before = torch.random.get_rng_state()
    a, b = (probe.load_model("torchvision:resnet18", seed=1) for _ in range(2))
    assert torch.equal(a.conv1.weight, b.conv1.weight)
    assert torch.equal(before, torch.random.get_rng_state())


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_weights_that_run_code_are_refused(tmp_path, pictures, capsys):
    path = tmp_path / "evil.pt"
    torch.save({"weight": Evil()}, path)
    assert cli.main(["probe", "--model", "relstab:lenet", "--weights", str(path), "--images", str(pictures)]) == 2
    captured = capsys.readouterr()
    assert "executed" not in captured.out and "would have to run code" in captured.err
    path.write_bytes(pickle.dumps({"a": 1}, protocol=2)[:10])
    with pytest.raises(ValueError, match=r"--weights is .*evil\.pt"):
        probe.load_state(path)


def test_weights_of_another_network_are_refused_in_one_sentence(tmp_path, pictures, capsys):
    path = tmp_path / "other.pt"
    torch.save(models.build("fc_l2").state_dict(), path)
    assert cli.main(["probe", "--model", "relstab:lenet", "--weights", str(path), "--images", str(pictures)]) == 2
    assert "do not fit the model" in capsys.readouterr().err


def test_module_path(tmp_path, monkeypatch):
    (tmp_path / "mynet.py").write_text(
        "import torch\ndef factory(out=3):\n    return torch.nn.Sequential(torch.nn.Flatten(), "
        "torch.nn.Linear(3072, out))\n"
    )
    monkeypatch.chdir(tmp_path)
    model = probe.load_model("mynet:factory", options={"out": 4})
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 4)
    with pytest.raises(ValueError, match="does not take the options"):
        probe.load_model("mynet:factory", options={"wrong": 4})
    with pytest.raises(ValueError, match="has no 'nothing'"):
        probe.load_model("mynet:nothing")


def test_data_parallel_prefix_and_wrapper_are_taken_off(tmp_path):
    state = {"module.fc.weight": torch.ones(1)}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "w.pt")
    assert list(probe.load_state(tmp_path / "w.pt")) == ["fc.weight"]


# Programs, safetensors, timm ----------------------------------------------------------------------------


def small():
    torch.manual_seed(0)
    convolutions = [torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 3), torch.nn.ReLU()]
    return torch.nn.Sequential(*convolutions, torch.nn.Flatten(), torch.nn.Linear(4 * 28 * 28, 5)).eval()


def table_of(model, images, **options):
    return relstab.sensitivity(model, images, generator=torch.Generator().manual_seed(0), **options)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_torchscript_is_measured_at_its_ends(tmp_path, pictures):
    model = small()
    torch.jit.save(torch.jit.script(model), tmp_path / "net.pt")
    program, images = probe.load_model(str(tmp_path / "net.pt")), probe.load_images(str(pictures))
    with pytest.warns(UserWarning, match="layers: of a TorchScript program only the ends can be read"):
        ends = table_of(program, images)
    assert ends["layer"].tolist() == ["input", "output"]
    assert table_of(program, images, layers="output")["R"].tolist() == ends["R"].tolist()[1:]  # without a word
    whole = table_of(model, images).set_index("layer")
    assert np.allclose(ends["R"], whole.loc[["input", "output"], "R"], rtol=1e-4)
    with pytest.raises(ValueError, match="module '1' lies in a TorchScript program, of which only the ends"):
        table_of(program, images, layers=["1"])


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
def test_an_exported_program_has_the_layers_of_its_network(tmp_path, pictures):
    model, images = small(), probe.load_images(str(pictures))
    axes = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(model, (images,), dynamic_shapes=axes), tmp_path / "net.pt2")
    program = probe.load_model(str(tmp_path / "net.pt2"))
    names = ["input", "1", "3", "output"]
    expected = table_of(model, images, layers=names)
    pd.testing.assert_frame_equal(table_of(program, images, layers=names), expected, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
def test_programs_that_cannot_be_used_are_refused_in_one_sentence(tmp_path, pictures, capsys):
    fixed = torch.export.export(small(), (torch.zeros(6, 3, 32, 32),))
    torch.export.save(fixed, tmp_path / "fixed.pt2")
    (tmp_path / "bad.pt2").write_bytes(b"no program")
    for name, sentence in (
        ("fixed", "exported for batches of 6 only"),
        ("bad", "cannot be read as a torch.export program"),
    ):
        assert cli.main(["probe", "--model", str(tmp_path / f"{name}.pt2"), "--images", str(pictures)]) == 2
        error = capsys.readouterr().err
        assert sentence in error and len(error.splitlines()) == 1


def test_safetensors_are_read_and_a_damaged_file_is_refused(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    state = models.build("lenet", generator=torch.Generator().manual_seed(5)).state_dict()
    safetensors.save_file(state, tmp_path / "w.safetensors")
    loaded = probe.load_model("relstab:lenet", weights=tmp_path / "w.safetensors")
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())
    (tmp_path / "w.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"--weights is .*w\.safetensors.* cannot be read"):
        probe.load_state(tmp_path / "w.safetensors")


def test_safetensors_without_the_package(tmp_path, monkeypatch):
    (tmp_path / "w.safetensors").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ModuleNotFoundError, match="needs the package safetensors: pip install"):
        probe.load_state(tmp_path / "w.safetensors")


def test_timm_is_asked_for_networks_without_weights(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModuleNotFoundError, match="--model timm:tiny needs the package timm: pip install 'timm'"):
        probe.load_model("timm:tiny")
    asked = []
    timm = types.ModuleType("timm")
    timm.list_models = lambda: ["tiny"]
    timm.create_model = lambda name, **options: asked.append((name, options)) or torch.nn.Flatten()
    monkeypatch.setitem(sys.modules, "timm", timm)
    assert isinstance(probe.load_model("timm:tiny", options={"num_classes": 7}), torch.nn.Flatten)
    assert asked == [("tiny", {"pretrained": False, "num_classes": 7})]
    with pytest.raises(ValueError, match="timm has no model of this name"):
        probe.load_model("timm:huge")


# Among the book's networks ------------------------------------------------------------------------------


@pytest.fixture
def book(monkeypatch):
    """Networks of the book that lie on ε = 0.2 √R exactly."""
    R = np.array([0.03, 0.1, 0.3, 1.0])
    table = Rows({"R": R, "error": 0.2 * np.sqrt(R), "dataset": "cifar10-jpeg"}).of("zoo", "laptop")
    monkeypatch.setattr(picture, "networks", lambda *settings: table)
    return table


def test_the_curve_says_the_error_of_the_books_networks_at_this_R(tmp_path, pictures, book, capsys):
    torch.save(models.build("lenet", generator=torch.Generator().manual_seed(5)).state_dict(), tmp_path / "w.pt")
    arguments = ["probe", "--model", "relstab:lenet", "--images", str(pictures), "--layers", "output"]
    curve = ["--curve", str(tmp_path / "curve.png"), "--error", "0.4", "--save", str(tmp_path / "t.json")]
    assert cli.main([*arguments, "--weights", str(tmp_path / "w.pt"), *curve]) == 0
    R = pd.read_json(tmp_path / "t.json").loc[0, "R"]
    said = capsys.readouterr().out
    assert f"an error of {0.2 * np.sqrt(R):.2g}, give or take a factor 1," in said
    assert "valid for CIFAR-10 only" in said
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert cli.main(arguments) == 0
    assert "no error goes with this R" in capsys.readouterr().out


def test_the_picture_has_the_network_on_its_line(book):
    ax = picture.among_networks(book, {"mine": 0.2}, errors={"mine": 0.15}).axes[0]
    labels = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert labels["its error: 0.15"] == [[0.2, 0.15]]
    assert [x for x, _ in labels["mine: $R$ = 0.2"]] == [0.2, 0.2]
    assert labels["4 networks on CIFAR-10"] == book[["R", "error"]].to_numpy().tolist()


def test_the_networks_in_the_package_are_the_published_ones():
    """`relstab study zoo --publish` writes them again."""
    rows = registry.shown("zoo", "laptop", needs=compare.networks)
    shipped = pd.read_csv(picture.NETWORKS)
    pd.testing.assert_frame_equal(shipped, pd.read_csv(io.StringIO(compare.text(rows))), rtol=1e-4)
    assert picture.NETWORKS.stat().st_size < 30_000
    nets, published = picture.networks(), compare.networks(rows)
    assert nets["architecture"].tolist() == published["architecture"].tolist() and len(nets) >= compare.FEWEST
    assert nets.scale == published.scale


def test_the_curve_is_drawn_where_there_are_no_published_rows(tmp_path, pictures, monkeypatch):
    monkeypatch.setenv("RELSTAB_RESULTS", str(tmp_path / "none"))
    monkeypatch.setenv("RELSTAB_STORE", str(tmp_path / "none"))
    target = tmp_path / "curve.svg"
    arguments = ["--model", "relstab:lenet", "--images", str(pictures), "--curve", str(target)]
    assert cli.main(["probe", *arguments]) == 0
    assert f"{len(picture.networks())} networks on CIFAR-10" in target.read_text()


def test_settings_at_which_the_book_has_no_networks(pictures, capsys):
    arguments = ["probe", "--model", "relstab:lenet", "--images", str(pictures), "--layers", "output"]
    assert cli.main([*arguments, "--displacement", "1.7", "--cut", "4"]) == 0
    assert "no curve of error against R for these settings" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--error", "83"], "--error is 83; it must be above 0 and at most 1"),
        (["--curve", "curve.csv"], "--curve is 'curve.csv'; it must end in .png, .svg or .pdf"),
        (["--curve", "nowhere/curve.png"], "its folder does not exist"),
        (["--curve", "curve.png", "--layers", "all"], "which --layers 'all' does not measure"),
    ],
)
def test_bad_options_of_the_curve(pictures, capsys, options, sentence):
    assert cli.main(["probe", "--model", "relstab:lenet", "--images", str(pictures), *options]) == 2
    assert sentence in capsys.readouterr().err


# While training -----------------------------------------------------------------------------------------


def test_R_is_followed_through_training():
    mini = data.load("fashion-mini")
    images = mini.normalise(mini.test.images[:20])

    def probed(model):
        table = relstab.sensitivity(model, images, generator=torch.Generator().manual_seed(0))
        return table.to_dict("records")

    model = models.build("lenet", in_channels=1, generator=torch.Generator().manual_seed(0))
    recipe = recipes.one_cycle("lenet", epochs=2)
    result = train.fit(model, mini.train.take(range(256)), recipe, normalise=mini.normalise, seed=0, snapshots=probed)
    rows = pd.DataFrame(result.snapshots)
    assert rows["epoch"].min() == 0 and rows["epoch"].max() == 2
    last = rows[rows["epoch"] == 2].drop(columns="epoch").reset_index(drop=True)
    pd.testing.assert_frame_equal(last, pd.DataFrame(probed(model)))
    assert rows[rows["epoch"] == 0]["R"].iloc[-1] != rows[rows["epoch"] == 2]["R"].iloc[-1]


def test_a_plain_loop_is_not_disturbed_by_a_probe():
    def trained(probing):
        model = models.build("lenet", in_channels=1, generator=torch.Generator().manual_seed(0))
        images = torch.rand(16, 1, 28, 28, generator=torch.Generator().manual_seed(1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            model.train()
            loss = model(images).square().mean()
            optimizer.zero_grad()
            loss.backward()
            if probing:  # between backward and step, the worst place
                relstab.sensitivity(model, images, layers="output")
                assert model.training
            optimizer.step()
        return model.state_dict()

    a, b = trained(False), trained(True)
    assert all(torch.equal(a[name], b[name]) for name in a)

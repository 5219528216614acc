"""`relstab probe` on small networks: what it prints equals `relstab.sensitivity`, and unsafe weights are refused."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch

import relstab
from relstab import cli, models, probe


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
    arguments = ["probe", "--model", "relstab:lenet", "--weights", str(tmp_path / "lenet.pt"), "--images", str(pictures),
                 "--normalise", "cifar10", "--seed", "3", "--save", str(target)]  # fmt: skip
    assert cli.main(arguments) == 0
    images = probe.load_images(str(pictures), normalisation="cifar10")
    expected = relstab.sensitivity(model, images, generator=torch.Generator().manual_seed(3))
    pd.testing.assert_frame_equal(pd.read_csv(target), expected, rtol=1e-5)
    assert "displacement 1 px, cut 3" in capsys.readouterr().out


def test_picture_and_json_are_written(tmp_path, pictures):
    targets = [tmp_path / name for name in ("profile.png", "table.json")]
    saves = [word for target in targets for word in ("--save", str(target))]
    assert (
        cli.main(
            ["probe", "--model", "relstab:lenet", "--images", str(pictures), "--layers", "output", *saves]
        )
        == 0
    )
    assert (
        targets[0].read_bytes().startswith(b"\x89PNG")
        and pd.read_json(targets[1]).loc[0, "layer"] == "output"
    )


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
    assert (
        cli.main(["probe", "--model", "relstab:lenet", "--weights", str(path), "--images", str(pictures)])
        == 2
    )
    captured = capsys.readouterr()
    assert "executed" not in captured.out and "would have to run code" in captured.err
    path.write_bytes(pickle.dumps({"a": 1}, protocol=2)[:10])
    with pytest.raises(ValueError, match=r"--weights is .*evil\.pt"):
        probe.load_state(path)


def test_weights_of_another_network_are_refused_in_one_sentence(tmp_path, pictures, capsys):
    path = tmp_path / "other.pt"
    torch.save(models.build("fc_l2").state_dict(), path)
    assert (
        cli.main(["probe", "--model", "relstab:lenet", "--weights", str(path), "--images", str(pictures)])
        == 2
    )
    assert "do not fit the model" in capsys.readouterr().err


def test_torchscript_and_module_path(tmp_path, pictures, monkeypatch):
    (tmp_path / "mynet.py").write_text(
        "import torch\ndef factory(out=3):\n    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, out))\n"
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

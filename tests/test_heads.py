"""A head belongs to the weights that it was trained on, and says so."""
import numpy as np
import pytest
from test_weights import HEAD, TINY

from data.lab import weights as weights_module
from data.lab.command import LabError
from data.lab.weights import BACKBONE, identify, read_weights, save_weights


@pytest.fixture
def layers(monkeypatch):
    """{layer: [W, b]} of a few numbers."""
    monkeypatch.setattr(weights_module, "SHAPES", TINY)
    rng = np.random.default_rng(0)
    shapes = {name: (*fan_in, units or 7) for name, (*fan_in, units) in TINY.items()}
    return {name: [rng.normal(size=s).astype("f4") for s in (shape, shape[-1:])]
            for name, shape in shapes.items()}


@pytest.fixture
def read(tmp_path):
    """read(layers, head) -> what read_weights makes of two such files."""

    def read(layers, head):
        save_weights(tmp_path / "w.npy", layers)
        save_weights(tmp_path / "head.npy", head)
        return read_weights(tmp_path / "w.npy", names={3: list("abc"), 7: list("abcdefg")},
                            head=tmp_path / "head.npy")

    return read


def test_a_head_goes_with_its_own_weights(read, layers, capsys):
    found = read(layers, {"fc8": HEAD, "backbone": identify(layers)})
    np.testing.assert_array_equal(found["fc8"][0], HEAD[0])
    assert found.names == ["a", "b", "c"] and capsys.readouterr().err == ""


@pytest.mark.parametrize("name", BACKBONE)
@pytest.mark.parametrize("part", [0, 1])
def test_one_value_of_one_layer_is_enough_to_refuse(read, layers, name, part):
    head = {"fc8": HEAD, "backbone": identify(layers)}
    layers[name][part].flat[-1] = np.nextafter(layers[name][part].flat[-1], np.float32(9))
    digits = identify(layers)[1][:8]
    with pytest.raises(LabError, match=rf"head.npy: was trained on other weights \([0-9a-f]{{8}}\),"
                                       rf" but .*w.npy holds other weights \({digits}\); train"):
        read(layers, head)


def test_another_fc8_in_the_weights_does_not_matter(read, layers):
    head = {"fc8": HEAD, "backbone": identify(layers)}
    layers["fc8"][0][0, 0] += 1
    assert read(layers, head).names == ["a", "b", "c"]


def test_an_older_head_that_does_not_say_is_warned_of(read, layers, capsys):
    read(layers, {"fc8": HEAD})
    assert "head.npy: does not say which weights it was trained on" in capsys.readouterr().err


def test_whole_networks_and_heads_are_told_apart(read, layers, tmp_path):
    with pytest.raises(LabError, match="head.npy: is a whole network; give it .* as --weights"):
        read(layers, layers)
    save_weights(tmp_path / "head.npy", {"fc8": HEAD})
    with pytest.raises(LabError, match="head.npy: is a trained head, .* as --head"):
        read_weights(tmp_path / "head.npy")


@pytest.mark.parametrize("backbone", [7, "synthetic", [1, 2, 3], [[], {}]])
def test_a_head_that_says_nonsense(read, layers, backbone):
    with pytest.raises(LabError, match="head.npy: "):
        read(layers, {"fc8": HEAD, "backbone": backbone})


def test_known_weights_are_named(weights, monkeypatch):
    synthetic = {**weights, "fc7": [np.eye(4096, dtype="f4"), np.zeros(4096, "f4")]}
    assert identify(weights)[0] == "other weights"
    assert identify(synthetic)[0] == "the synthetic weights"
    rows = np.ascontiguousarray(weights["fc6"][0][:7])
    monkeypatch.setattr(weights_module, "BVLC", weights_module.hashlib.sha256(rows).hexdigest())
    assert identify(weights)[0] == "the original BVLC weights"

"""What the tests share."""
import os
import sys
from pathlib import Path

import numpy as np
import pytest

LAB = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB))

from data.reading import SHAPES  # noqa: E402
from data.tf1 import tf  # noqa: E402


@pytest.fixture(scope="session")
def weights():
    """{layer: [W, b]} of AlexNet's true shapes, random, biases too."""
    rng = np.random.default_rng(1)
    layers = {}
    for name, (*fan_in, units) in SHAPES.items():
        W = rng.standard_normal((*fan_in, units or 1000), dtype=np.float32)
        W *= np.float32(np.sqrt(2 / np.prod(fan_in)))
        layers[name] = [W, rng.normal(0, 0.1, W.shape[-1]).astype(np.float32)]
    layers["fc8"][0] *= np.float32(0.01)  # else softmax is 1 for one class, 0 for the rest
    return layers


@pytest.fixture
def graph():
    """A fresh default graph for one test."""
    with tf.Graph().as_default() as fresh:
        yield fresh


@pytest.fixture
def run_main(monkeypatch, capsys, graph):
    """Run a script's main() in this process: run_main(script, *arguments) -> stdout."""

    def run(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script.__name__ + ".py", *map(str, arguments)])
        script.main()
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="session")
def real_data():
    """The folder of real files that LAB_TEST_DATA names."""
    if "LAB_TEST_DATA" not in os.environ:
        pytest.skip("real data: set LAB_TEST_DATA to a folder with the real train.p and pictures")
    return Path(os.environ["LAB_TEST_DATA"])

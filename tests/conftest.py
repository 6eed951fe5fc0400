"""What the tests share.

Every test runs in a separate lab, an empty folder: what is in the user's data/ is not
seen, and nothing is written there. Synthetic files are made once for all tests.
"""
import contextlib
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

LAB = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB))

from data.lab import paths  # noqa: E402
from data.lab.command import LabError  # noqa: E402
from data.lab.gtsrb import TRACK  # noqa: E402
from data.lab.standin import signs  # noqa: E402
from data.lab.tf1 import tf  # noqa: E402
from data.lab.weights import SHAPES  # noqa: E402

REAL_FILES = (  # that the tests of real data need, in the folder LAB_TEST_DATA
    "train.p", "poodle.png", "weasel.png", "construction.jpg", "stop.jpg",
    "bvlc-alexnet.truncated.npy", "alexnet.shard59of59", "imagenet_class_names.txt",
    "gtsrb_class_names.csv",
)


def pytest_collection_modifyitems(items):
    """Start the two slowest files first, so that both processes end at about the same time."""
    items.sort(key=lambda item: item.path.name not in ("test_check.py", "test_readme.py"))


@pytest.fixture(scope="session")
def standins(tmp_path_factory):
    return tmp_path_factory.mktemp("standin")


@pytest.fixture(autouse=True)
def lab(tmp_path_factory, monkeypatch, standins):
    """The folder of this test's lab, where scripts and helpers look and write."""
    lab = tmp_path_factory.mktemp("lab")
    (lab / "data").mkdir()
    (lab / "data" / "standin").symlink_to(standins)
    monkeypatch.setattr(paths, "LAB", lab)
    monkeypatch.setattr(paths, "DATA", lab / "data")
    return lab


def copy_code(folder):
    """Copy the lab's own files into `folder`, for processes of their own."""
    assets = [f"data/lab/**/*.{suffix}" for suffix in ("png", "jpg", "csv", "txt")]
    for pattern in ("*.py", "*.md", "data/*.py", "data/README.md", "data/figures/*",
                    "data/lab/**/*.py", "tests/**/*.py", *assets):
        for path in LAB.glob(pattern):
            (folder / path.relative_to(LAB)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / path.relative_to(LAB))


@contextlib.contextmanager
def bad_file(message=None, fix="data/"):
    """The block has to end in a LabError with `message`, one short line that ends in the fix."""
    with pytest.raises(LabError, match=message) as error:
        yield
    line = str(error.value)
    assert "\n" not in line and len(line) < 500 and fix in line


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


@pytest.fixture(scope="session")
def dataset():
    """Synthetic signs, two tracks of each class."""
    return signs.make_dataset(tracks_per_class=2)


@pytest.fixture(scope="session")
def drawn(dataset):
    """Their images and labels."""
    return dataset["features"], dataset["labels"].astype(np.int64)


@pytest.fixture
def few(drawn):
    """Every tenth of the synthetic signs: a data set as in train.p, with its tracks."""
    images, labels = drawn
    tracks = np.arange(len(labels)) // TRACK
    return {"features": images[::10], "labels": labels[::10], "tracks": tracks[::10]}


@pytest.fixture
def graph():
    """A fresh default graph for one test."""
    with tf.Graph().as_default() as fresh:
        yield fresh


@pytest.fixture
def run_main(monkeypatch, capsys):
    """Run a script's main() in this process: run_main(script, *arguments) -> stdout."""

    def run(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script.__file__, *map(str, arguments)])
        with tf.Graph().as_default():
            script.main()
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="session")
def real_data():
    """The folder of real files that LAB_TEST_DATA names."""
    if "LAB_TEST_DATA" not in os.environ:
        pytest.skip("real data: set LAB_TEST_DATA to a folder with " + ", ".join(REAL_FILES))
    return Path(os.environ["LAB_TEST_DATA"])

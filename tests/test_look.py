"""What --look draws: of each image, a figure of its channels and pixels."""
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from data.lab import look, paths
from data.lab.command import LabError
from data.lab.tf1 import tf


@pytest.fixture
def network(graph):
    """(session, placeholder) of a network whose answer depends on the red of one pixel only."""
    x = tf.placeholder(tf.float32, (None, 8, 8, 3))
    W = np.zeros((11, 11, 3, 96), np.float32)
    W[:, :6, 2, 0] = 1  # looks for red, the last of BGR, on its left
    filters = tf.Variable(W, name="conv1/weights")
    tf.Variable(tf.zeros(96), name="conv1/biases")
    tf.nn.relu(tf.nn.conv2d(x, filters, 1, "SAME"), name="conv1")
    for layer in look.LAYERS[1:]:
        tf.identity(x[:, :2, :2, :1] + tf.zeros(20), name=layer)
    tf.stack([-x[:, 1, 6, 0], x[:, 1, 6, 0]], axis=1, name="fc8")
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        yield sess, x


def run(network, images, names=("cat", "dog"), files=None):
    """Look at `images`, which are in memory, as if they were read from `files`."""
    files = files or [f"{i}.jpg" for i in range(len(images))]
    look.look(*network, files, lambda file: images[files.index(file)], names)


def read(number):
    """The image as it was fed, and its saliency, in a figure: int (227, 227, 3) each."""
    (file,) = paths.DATA.glob(f"runs/*/{number}_*.png")
    figure = np.asarray(Image.open(file)).astype(int)
    top = figure[2:2 + look.IMAGE, look.LEFT + 2:]
    return top[:, :look.IMAGE], top[:, look.IMAGE + 60:][:, :look.IMAGE]


def test_each_image_has_its_figure(network, capsys):
    """Of 40 images, in batches; they are too dark, and too bright, to be shown as they are."""
    images = [np.full((8, 8, 3), -1000, np.float32) for _ in range(40)]
    for i, image in enumerate(images):
        image[i % 8, i // 8] = 3000
        image[7, 7] = 1000  # half as bright
    run(network, images, files=[f"{i % 2}/photo.{i}" + "é" * 120 + ".jpg" for i in range(40)])
    (folder,) = (paths.DATA / "runs").iterdir()
    assert capsys.readouterr().err == f"Visualizations: data/runs/{folder.name}\n"
    assert len(list(folder.iterdir())) == 41  # and filters.png
    assert len(list(folder.glob("17_photo.17é*é.png"))) == 1
    for i in 0, 31, 32, 39:
        values = read(i)[0][14::28, 14::28][:8, :8, 0]
        assert values[i % 8, i // 8] == 255 and values[7, 7] in (127, 128)
        assert (values == 0).sum() == 62


def test_saliency_is_red_where_the_answer_depends_on_the_image(network):
    image = np.zeros((8, 8, 3), np.float32)
    image[1, 6] = 1
    run(network, image[np.newaxis], ["", "two\nlines " + "W" * 200])
    red = read(0)[1] @ (1, -1, 0)
    rows, columns = np.nonzero(red > 200)
    assert abs(rows.mean() - 28.4 * 1.5) < 2 and abs(columns.mean() - 28.4 * 6.5) < 2
    assert red[120:].max() == 0 and red[:, :120].max() == 0


def test_filters_show_the_colours_that_they_look_for(network):
    run(network, [])
    (file,) = paths.DATA.glob("runs/*/filters.png")
    figure = np.asarray(Image.open(file))
    first, second = figure[2:46, 2:46], figure[2:46, 48:92]
    assert (first[:, :20] == (255, 0, 0)).all() and not first[:, 28:].any() and not second.any()


def test_the_number_of_the_answer_stands_beside_its_name(network, monkeypatch):
    written = []
    monkeypatch.setattr(look.figures, "label", lambda *a: written.append(a[:2]) or "")
    images = np.zeros((2, 8, 8, 3), np.float32)
    images[:, 1, 6, 0] = -1, 1
    run(network, images)
    assert written == [(0, "cat"), (1, "dog")]


def test_a_disk_too_small_for_the_figures_is_an_error_before_any_work(network, monkeypatch):
    monkeypatch.setattr(paths.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**6))
    with pytest.raises(LabError, match="not enough disk space for the figures: 1 MB needed"):
        look.look(*network, ["a.jpg"] * 4, None, None)
    assert not list((paths.DATA / "runs").iterdir())

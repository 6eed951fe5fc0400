"""The exported SavedModel: what it holds, where it runs, and what it predicts."""
import subprocess
import sys

import numpy as np
import pytest
from conftest import bad_file
from PIL import Image
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

import traffic_sign_inference
from data.lab.export import export
from data.lab.weights import Weights, save_weights

# Runs without the lab: saves probs and fc7 of TensorFlow 2 and of TFLite, prints the assets.
ELSEWHERE = """
import numpy as np, tensorflow as tf
images = np.load("images.npy")
model = tf.saved_model.load("moved")
network = model.signatures["serving_default"]
lite = tf.lite.TFLiteConverter.from_saved_model("moved").convert()
lite = tf.lite.Interpreter(model_content=lite).get_signature_runner("serving_default")
found = network(images=tf.constant(images)), lite(images=images)
np.savez("found.npz", *[output[name] for output in found for name in ("probs", "fc7")])
print(*[asset.asset_path.numpy().decode() for asset in model.asset_paths])
"""


@pytest.fixture
def named(weights):
    """Weights as read_weights returns them, of five classes and for 40x40 images."""
    W, b = weights["fc8"]
    named = Weights({**weights, "fc8": [W[:, :5], b[:5]]})
    named.names, named.size = ["Rot", "Grün", "a, b", "止まれ", "Stop"], 40
    return named


def test_predicts_as_the_script_wherever_it_is_moved(run_main, named, tmp_path, monkeypatch):
    """In TensorFlow 2 and in TFLite, whose kernels differ."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 40, 40, 3), np.uint8) // np.uint8([[[[1]]], [[[2]]], [[[9]]]])
    np.save(tmp_path / "images.npy", images.astype(np.float32))
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    save_weights(tmp_path / "w.npy", {**named, "names": named.names, "size": 40})
    script = []
    monkeypatch.setattr(traffic_sign_inference, "look", lambda sess, x, files, read, _: (
        script.extend(sess.run(["probs:0", "fc7:0"], {x: [*map(read, files)]}))))
    (tmp_path / "model").mkdir()
    run_main(traffic_sign_inference, tmp_path, "--weights", tmp_path / "w.npy", "--look",
             "--export", tmp_path / "model")
    (tmp_path / "model").rename(tmp_path / "moved")
    ran = subprocess.run([sys.executable, "-c", ELSEWHERE], cwd=tmp_path, check=True,
                         capture_output=True, text=True)
    assert ran.stdout.replace("\\", "/") == "moved/assets/labels.txt\n"
    found = [*np.load(tmp_path / "found.npz").values()]
    assert script[0].shape == (3, 5) and script[0].std(axis=0).min() > 1e-3
    for output, reference, tolerance in zip(found, 2 * script, (1e-5, 1e-5, 1e-3, 1e-3)):
        np.testing.assert_allclose(output, reference, rtol=0, atol=tolerance * reference.max())


def test_holds_names_and_weights_but_no_python_code(named, tmp_path, capsys):
    export(tmp_path / "new" / "model", named)
    assert capsys.readouterr().err == f"SavedModel: {tmp_path / 'new' / 'model'}\n"
    (model,) = (tmp_path / "new").iterdir()
    labels = (model / "assets" / "labels.txt").read_text("utf-8")
    assert labels == "Rot\nGrün\na, b\n止まれ\nStop\n"
    (meta,) = SavedModel.FromString((model / "saved_model.pb").read_bytes()).meta_graphs
    assert not [node.name for node in meta.graph_def.node if "PyFunc" in node.op]
    assert meta.ByteSize() < 100_000  # the weights are in variables/, once
    size = sum(file.stat().st_size for file in model.glob("variables/*"))
    assert 0 <= size - sum(a.nbytes for pair in named.values() for a in pair) < 10_000


@pytest.mark.parametrize("name", ["full", "full/file"])
def test_what_exists_is_not_overwritten(run_main, tmp_path, name):
    """The folder is checked first: the missing weights are not reported."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with bad_file(rf"--export: {tmp_path}/{name} already exists", "give a new or empty folder"):
        run_main(traffic_sign_inference, "--weights", "absent.npy", "--export", tmp_path / name)
    assert [f.read_text() for f in (tmp_path / "full").iterdir()] == ["mine"]


def test_nothing_stays_where_the_disk_is_full(named, tmp_path):
    """A limit on the size of files stands for the full disk."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000_000, limits[1]))
    try:
        with bad_file(r"model: cannot be written \(File too large\); free some space", ""):
            export(tmp_path / "model", named)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [*tmp_path.iterdir()]

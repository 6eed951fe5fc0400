"""The network: against the oracle, layer by layer, and as a well-behaved TF1 graph."""
import numpy as np
import oracle
import pytest

from alexnet import AlexNet
from data.lab.tf1 import tf

SHAPES_OUT = {
    "conv1": (57, 57, 96), "norm1": (57, 57, 96), "pool1": (28, 28, 96),
    "conv2": (28, 28, 256), "norm2": (28, 28, 256), "pool2": (13, 13, 256),
    "conv3": (13, 13, 384), "conv4": (13, 13, 384), "conv5": (13, 13, 256),
    "pool5": (6, 6, 256), "fc6": (4096,), "fc7": (4096,), "fc8": (1000,), "probs": (1000,),
}


@pytest.fixture(scope="module")
def layers(weights):
    """{layer: (TensorFlow's output, the oracle's)} for two images of 32x32."""
    rng = np.random.default_rng(2)
    signs = rng.uniform(-128, 128, (2, 32, 32, 3)).astype(np.float32)
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, (None, 32, 32, 3))
        resized = tf.image.resize_images(x, (227, 227))
        AlexNet(resized, weights=weights)
        with tf.Session() as sess:
            sess.run(tf.global_variables_initializer())
            names = {name: graph.get_tensor_by_name(name + ":0") for name in SHAPES_OUT}
            ours = sess.run({"resize": resized, **names}, feed_dict={x: signs})
    resized = oracle.resize_bilinear(signs.astype(np.float64), 227)
    theirs = {"resize": resized, **oracle.alexnet(resized, weights)}
    return {name: (ours[name], theirs[name]) for name in ours}


@pytest.mark.parametrize("name", ["resize", *SHAPES_OUT])
def test_layer_agrees_with_the_oracle(layers, name):
    ours, theirs = layers[name]
    assert ours.shape == theirs.shape == (2, *SHAPES_OUT.get(name, (227, 227, 3)))
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()
    assert np.abs(theirs).max() > 0 and theirs.std() > 0


def test_feature_extract_returns_fc7_after_relu_and_needs_no_fc8(layers, weights, graph):
    backbone = {name: layer for name, layer in weights.items() if name != "fc8"}
    x = tf.placeholder(tf.float32, (None, 227, 227, 3))
    fc7 = AlexNet(x, feature_extract=True, weights=backbone)
    assert fc7.shape.as_list() == [None, 4096]
    assert not [op.name for op in graph.get_operations() if op.name.startswith("fc8")]
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        output = sess.run(fc7, feed_dict={x: layers["resize"][0]})
    np.testing.assert_allclose(output, layers["fc7"][0], rtol=1e-4, atol=1e-4)
    assert output.min() == 0


def test_weights_in_the_place_of_feature_extract_are_not_ignored(weights, graph):
    with pytest.raises(TypeError, match="pass the weights by name"):
        AlexNet(tf.placeholder(tf.float32, (None, 227, 227, 3)), weights)


def test_no_weight_is_in_the_graph(weights, graph):
    probs = AlexNet(tf.placeholder(tf.float32, (None, 227, 227, 3)), weights=weights)
    assert probs.shape.as_list() == [None, 1000]
    assert graph.as_graph_def().ByteSize() < 1e6
    sizes = [int(np.prod(v.shape.as_list())) for v in tf.global_variables()]
    assert len(sizes) == 16 and sum(sizes) == sum(a.size for pair in weights.values() for a in pair)


def test_initializer_can_run_again(weights, graph):
    AlexNet(tf.placeholder(tf.float32, (None, 227, 227, 3)), weights=weights)
    (conv1,) = [v for v in tf.global_variables() if v.op.name == "conv1/weights"]
    with tf.Session() as sess:
        for _ in range(2):
            sess.run(tf.global_variables_initializer())
            np.testing.assert_array_equal(sess.run(conv1), weights["conv1"][0])
            sess.run(conv1.assign(tf.zeros_like(conv1)))

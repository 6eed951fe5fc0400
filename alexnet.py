"""AlexNet in TensorFlow's graph mode.

    x = tf.placeholder(tf.float32, (None, 227, 227, 3))
    probs = AlexNet(x)  # with the weights in bvlc-alexnet.npy
    sess = tf.Session()
    sess.run(tf.global_variables_initializer())
    sess.run(probs, feed_dict={x: images})

The network: A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet Classification with Deep
Convolutional Neural Networks", NIPS 2012; as trained by the Berkeley Vision and Learning
Center (Caffe's bvlc_alexnet, which normalises before it pools, as the paper does). In three
things this network follows the course, not Caffe. conv1 uses SAME padding, not VALID, so that
its output is 57x57 and not 55x55, and pool1's is 28x28, not 27x27. The input is RGB, although
the weights were trained on BGR. And each image has its own mean subtracted, not ImageNet's.
"""
from data.lab.standin import find
from data.lab.tf1 import tf
from data.lab.weights import BACKBONE, SHAPES, read_weights


def variable(array, name):
    """Create a variable that starts as `array`, without storing the array in the graph.

    The initial value is an op that fetches the array from NumPy when the initializer runs.
    As a constant, it would be copied into the graph: 244 MB for all of AlexNet. The array
    stays in memory as long as the graph, next to the variable's own copy.
    """

    def initial_value():
        value = tf.numpy_function(lambda: array, [], tf.float32)
        return tf.ensure_shape(value, array.shape)

    return tf.Variable(initial_value, name=name)


def conv(bottom, name, layers, stride=1, groups=1):
    """Convolution with ReLU; with groups=2, each half of the filters sees half the channels."""
    W, b = layers[name]
    with tf.name_scope(name + "/"):  # the same scope as the variables': one box in TensorBoard
        parts = zip(tf.split(bottom, groups, axis=3), tf.split(W, groups, axis=3))
        parts = [tf.nn.conv2d(part, kernel, stride, "SAME") for part, kernel in parts]
        total = tf.nn.bias_add(tf.concat(parts, axis=3), b)
    return tf.nn.relu(total, name=name)


def lrn(bottom, name):
    """Local response normalisation over 5 channels, with the constants of bvlc_alexnet.

    Caffe divides alpha, 1e-4, by the 5 channels; TensorFlow does not, so alpha is 2e-5 here.
    """
    return tf.nn.lrn(bottom, depth_radius=2, bias=1.0, alpha=2e-5, beta=0.75, name=name)


def max_pool(bottom, name):
    """3x3 max-pooling with stride 2: the windows overlap."""
    return tf.nn.max_pool2d(bottom, 3, 2, "VALID", name=name)


def dense(bottom, name, layers, dropout=None):
    """Fully connected layer with ReLU, and dropout if its rate is given."""
    W, b = layers[name]
    top = tf.nn.relu(tf.nn.xw_plus_b(bottom, W, b, name=name + "/xw_plus_b"), name=name)
    return top if dropout is None else tf.nn.dropout(top, rate=dropout, name=name + "/dropout")


def AlexNet(features, feature_extract=False, *, weights=None, dropout=None):
    """Build AlexNet on `features`; the output tensor of each layer has the layer's name.

    features: float32 (N, 227, 227, 3), RGB 0 to 255, minus the mean of each image
    feature_extract: stop at fc7; `weights` need not contain fc8 then
    weights: {layer: [W, b]}, as read_weights returns; by default those in bvlc-alexnet.npy, or
        the synthetic ones if that file is missing
    dropout: the rate in fc6 and fc7 during training, 0.5 in the paper; a number or a tensor
    Returns the softmax probabilities, (N, 1000) or as many classes as fc8 has; with
    `feature_extract`, fc7 after ReLU (N, 4096). Raises LabError if the weights file is bad.
    """
    if isinstance(feature_extract, dict):
        raise TypeError("pass the weights by name: AlexNet(features, weights=weights)")
    names = BACKBONE if feature_extract else tuple(SHAPES)
    if weights is None:
        weights = read_weights(find("bvlc-alexnet.npy"), names)
    layers = {
        name: [variable(weights[name][0], name + "/weights"),
               variable(weights[name][1], name + "/biases")]
        for name in names
    }

    conv1 = conv(features, "conv1", layers, stride=4)  # (N, 57, 57, 96)
    norm1 = lrn(conv1, "norm1")
    pool1 = max_pool(norm1, "pool1")  # (N, 28, 28, 96)
    conv2 = conv(pool1, "conv2", layers, groups=2)  # (N, 28, 28, 256)
    norm2 = lrn(conv2, "norm2")
    pool2 = max_pool(norm2, "pool2")  # (N, 13, 13, 256)
    conv3 = conv(pool2, "conv3", layers)  # (N, 13, 13, 384)
    conv4 = conv(conv3, "conv4", layers, groups=2)  # (N, 13, 13, 384)
    conv5 = conv(conv4, "conv5", layers, groups=2)  # (N, 13, 13, 256)
    pool5 = max_pool(conv5, "pool5")  # (N, 6, 6, 256)
    flat = tf.reshape(pool5, (-1, 9216), name="fc6/reshape")
    fc6 = dense(flat, "fc6", layers, dropout)  # (N, 4096)
    fc7 = dense(fc6, "fc7", layers, dropout)  # (N, 4096)
    if feature_extract:
        return fc7
    fc8 = tf.nn.xw_plus_b(fc7, *layers["fc8"], name="fc8")  # (N, 1000), the logits
    return tf.nn.softmax(fc8, name="probs")

"""Export the network as a SavedModel, which runs wherever TensorFlow runs, without the lab."""
import os
import re
import tempfile
from pathlib import Path

from alexnet import AlexNet
from data.lab.command import LabError, say
from data.lab.tf1 import tf


def blank(next_creator, **settings):
    """Create a variable that starts at 0: alexnet.variable's initial value needs Python code."""
    with tf.Graph().as_default():
        shape = settings["initial_value"]().shape
    settings["initial_value"] = lambda: tf.zeros(shape)
    return next_creator(**settings)


def build(folder, weights, labels):
    """Write the SavedModel to `folder`, which must not exist; labels: a file, kept as an asset."""
    with tf.Graph().as_default(), tf.variable_creator_scope(blank), tf.Session() as sess:
        x = tf.placeholder(tf.float32, (None, weights.size, weights.size, 3), "images")
        centred = x - tf.reduce_mean(x, axis=(1, 2, 3), keepdims=True)
        probs = AlexNet(tf.image.resize_images(centred, (227, 227)), weights=weights)
        fc7 = sess.graph.get_tensor_by_name("fc7:0")
        for name, arrays in weights.items():
            for variable, array in zip(tf.global_variables(name + "/"), arrays):
                variable.load(array, sess)
        builder = tf.saved_model.Builder(str(folder))
        signature = tf.saved_model.predict_signature_def(
            {"images": x}, {"probs": probs, "fc7": fc7})
        builder.add_meta_graph_and_variables(sess, [tf.saved_model.SERVING],
                                             {"serving_default": signature},
                                             [tf.constant(str(labels))])
        builder.save()


def export(folder, weights):
    """Write the network with `weights` to the new or empty `folder`, and print its path.

    weights: of all layers, with the names of the classes, as read_weights returns them. The
    signature serving_default takes `images`, float32 (N, size, size, 3), RGB 0 to 255, and
    returns `probs` (N, classes) and `fc7` (N, 4096). The folder appears when it is complete.
    Raises LabError if it cannot be written.
    """
    folder = Path(os.path.realpath(folder))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temp:
            labels = Path(temp, "labels.txt")
            labels.write_bytes("".join(f"{name}\n" for name in weights.names).encode())
            build(Path(temp, "model"), weights, labels)
            if folder.exists():
                folder.rmdir()  # Windows does not rename to an existing folder, even an empty one
            os.rename(Path(temp, "model"), folder)
    except (OSError, tf.errors.OpError) as error:
        if isinstance(error, OSError):
            reason = error.strerror
        else:  # "...\n<file>; No space left on device\n..."
            reason = re.search(r".*; (.+)|$", error.message)[1] or type(error).__name__
        raise LabError(f"{folder}: cannot be written ({reason}); free some space, or choose "
                       "another folder") from None
    say(f"SavedModel: {folder}")

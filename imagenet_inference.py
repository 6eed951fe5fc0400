"""Step 1: AlexNet names what it sees.

    python imagenet_inference.py                   the course's two images
    python imagenet_inference.py dog.jpg folder    your own images and folders
"""
import time

import imageio.v3 as iio
import numpy as np

from alexnet import AlexNet
from caffe_classes import class_names
from data.lab.batches import batches
from data.lab.command import about, parse_settings, path, printable, run_script
from data.lab.images import colour_mode, list_images, to_rgb
from data.lab.look import look
from data.lab.standin import find  # the real file, or a synthetic one in its place
from data.lab.tf1 import tf  # tensorflow.compat.v1: first build a graph, then run it
from data.lab.weights import read_weights

SETTINGS = (  # name, type, default, help
    ("images", path, None, "images of any size, or folders of them (default: the course's)"),
    ("--weights", path, None, "a weights file (default: bvlc-alexnet.npy)"),
    ("--look", bool, None, "save visualizations of each layer to data/runs/"),
)


def main():
    args = parse_settings(__doc__, SETTINGS)
    files = list_images(args.images) or [find("poodle.png"), find("weasel.png")]
    weights = read_weights(args.weights or find("bvlc-alexnet.npy"), classes=1000)

    # Describe the computation; nothing is computed yet.
    x = tf.placeholder(tf.float32, (None, 227, 227, 3))
    probs = AlexNet(x, weights=weights)  # (N, 1000)
    init = tf.global_variables_initializer()
    sess = tf.Session()
    sess.run(init)

    def read(file):
        """Read an image as RGB, 0 to 255, minus its mean, one number: (227, 227, 3)."""
        with about(file):  # errors name the file; index=0: the first frame of an animation
            image = iio.imread(file, plugin="pillow", mode=colour_mode(file), index=0, rotate=True)
            image = to_rgb(image, 227).astype(np.float32)
        return image - np.mean(image)

    # Run inference, and print output: the five most probable names of each image.
    t = time.time()
    for batch in batches(range(len(files)), among_output=True):
        output = sess.run(probs, feed_dict={x: [read(files[i]) for i in batch]})
        for i, p in zip(batch, output):
            print(f"Image {i}" + (f": {printable(files[i])}" if args.images else ""))
            for index in np.argsort(-p, kind="stable")[:5]:
                print(f"{class_names[index]}: {p[index]:.3f}")
            print()
    print(f"Time: {time.time() - t:.3f} seconds")
    if args.look:
        look(sess, x, files, read, class_names)


if __name__ == "__main__":
    run_script(main)

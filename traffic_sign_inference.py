"""Step 2: AlexNet looks at 32x32 traffic signs, resized in the graph.

    python traffic_sign_inference.py             the course's two signs
    python traffic_sign_inference.py sign.jpg    your own images and folders
    python traffic_sign_inference.py --head data/traffic_sign_head.npy
                                                 after step 3

Exercise: python tests/check.py resize
"""
import time

import imageio.v3 as iio
import numpy as np

import caffe_classes
from alexnet import AlexNet
from data.lab import gtsrb
from data.lab.batches import batches
from data.lab.command import about, new_folder, parse_settings, path, printable, run_script
from data.lab.export import export
from data.lab.images import colour_mode, list_images, to_rgb
from data.lab.look import look
from data.lab.standin import find  # the real file, or a synthetic one in its place
from data.lab.tf1 import tf  # tensorflow.compat.v1: first build a graph, then run it
from data.lab.weights import read_weights

NAMES = {1000: caffe_classes.class_names, 43: gtsrb.class_names}  # by the size of the last layer
SETTINGS = (  # name, type, default, help
    ("images", path, None, "images, cropped to the sign, or folders (default: the course's)"),
    ("--weights", path, None, "a weights file (default: bvlc-alexnet.npy)"),
    ("--head", path, None, "a head trained in step 3, used in place of fc8"),
    ("--look", bool, None, "save visualizations of each layer to data/runs/"),
    ("--export", new_folder, None, "save the network as a SavedModel to this new folder"),
)


def main():
    args = parse_settings(__doc__, SETTINGS)
    files = list_images(args.images) or [find("construction.jpg"), find("stop.jpg")]
    weights = read_weights(args.weights or find("bvlc-alexnet.npy"), names=NAMES, head=args.head)
    class_names = weights.names
    size = weights.size  # 32, unless the head was trained with --size

    # AlexNet expects 227x227 pixels. The graph does the resizing, so that everyone who feeds it
    # gets the same: TensorFlow 1's bilinear resizing, as in the course. (TensorFlow 2's
    # tf.image.resize aligns the centres of the pixels, and gives slightly different values.)
    # Exercise resize
    x = tf.placeholder(tf.float32, (None, size, size, 3))
    resized = tf.image.resize_images(x, (227, 227))  # (N, 227, 227, 3)
    # End of resize
    probs = AlexNet(resized, weights=weights)  # (N, 1000); with a head, (N, classes)
    init = tf.global_variables_initializer()
    sess = tf.Session()
    sess.run(init)

    def read(file):
        """Read an image as RGB, 0 to 255, minus its mean, one number: (size, size, 3)."""
        with about(file):  # errors name the file; index=0: the first frame of an animation
            image = iio.imread(file, plugin="pillow", mode=colour_mode(file), index=0, rotate=True)
            image = to_rgb(image, size).astype(np.float32)
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
    if args.export:
        export(args.export, weights)


if __name__ == "__main__":
    run_script(main)

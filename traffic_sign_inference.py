"""Step 2: AlexNet looks at 32x32 traffic signs, resized in the graph.

    python traffic_sign_inference.py                            construction and stop
    python traffic_sign_inference.py sign.jpg                   your own pictures
    python traffic_sign_inference.py --head data/traffic_sign_head.npy    after step 3

Exercise: python tests/check.py resize
"""
import time

import caffe_classes
from alexnet import AlexNet
from data.lab import gtsrb
from data.lab.batches import batches
from data.lab.command import parse_settings, path
from data.lab.exercises import run_script
from data.lab.look import look
from data.lab.pictures import SETTINGS, preprocess, print_top5, read_pictures
from data.lab.standin import find
from data.lab.tf1 import tf
from data.lab.weights import read_weights

NAMES = {1000: caffe_classes.class_names, 43: gtsrb.class_names}
HEAD = ("--head", path, None, "a trained head, to take the place of fc8")


def main():
    args = parse_settings(__doc__, (*SETTINGS, HEAD))
    weights = read_weights(args.weights or find("bvlc-alexnet.npy"), names=NAMES, head=args.head)
    size = weights.size  # 32, but for a head of one's own
    images = read_pictures(args.pictures or map(find, ("construction.jpg", "stop.jpg")), size)

    # Legacy bilinear samples, as the course ran; TensorFlow 2's tf.image.resize gives others.
    # Exercise resize
    x = tf.placeholder(tf.float32, (None, size, size, 3))
    resized = tf.image.resize_images(x, (227, 227))  # (N, 227, 227, 3)
    # End of resize
    probs = AlexNet(resized, weights)  # (N, 1000), with a head (N, 43)
    sess = tf.Session()
    sess.run(tf.global_variables_initializer())
    t = time.time()
    output = [sess.run(probs, feed_dict={x: preprocess(batch)}) for batch in batches(images)]
    print_top5(output, weights.names, args.pictures)
    print(f"Time: {time.time() - t:.3f} seconds")
    if args.look:
        look(sess, x, images, weights, output)


if __name__ == "__main__":
    run_script(main)

"""Step 1: AlexNet names what it sees.

    python imagenet_inference.py                    a poodle and a weasel
    python imagenet_inference.py dog.jpg cat.png    your own pictures
"""
import time

from alexnet import AlexNet
from caffe_classes import class_names
from data.lab.batches import batches
from data.lab.command import parse_settings, run_script
from data.lab.look import look
from data.lab.pictures import SETTINGS, preprocess, print_top5, read_pictures
from data.lab.standin import find
from data.lab.tf1 import tf
from data.lab.weights import read_weights


def main():
    args = parse_settings(__doc__, SETTINGS)
    images = read_pictures(args.pictures or map(find, ("poodle.png", "weasel.png")), 227)
    weights = read_weights(args.weights or find("bvlc-alexnet.npy"), names={1000: class_names})

    x = tf.placeholder(tf.float32, (None, 227, 227, 3))
    probs = AlexNet(x, weights)  # (N, 1000)
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

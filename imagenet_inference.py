"""Step 1: AlexNet names what it sees.

    python imagenet_inference.py                    a poodle and a weasel
    python imagenet_inference.py dog.jpg cat.png    your own pictures

Prints for each picture the five most probable of ImageNet's 1,000 classes.
"""
import time

from alexnet import AlexNet
from caffe_classes import class_names
from data.lab.batches import batches
from data.lab.command import parse_settings, run_script
from data.lab.pictures import SETTINGS, preprocess, print_top5, read_pictures
from data.lab.standin import find
from data.lab.tf1 import tf
from data.lab.weights import read_weights

PICTURES = "poodle.png", "weasel.png"


def main():
    args = parse_settings(__doc__, SETTINGS)
    images = read_pictures(args.pictures or map(find, PICTURES), 227)

    x = tf.placeholder(tf.float32, (None, 227, 227, 3))
    probs = AlexNet(x, read_weights(args.weights or find("bvlc-alexnet.npy"), classes=[1000]))
    sess = tf.Session()
    sess.run(tf.global_variables_initializer())

    t = time.time()
    output = [sess.run(probs, feed_dict={x: preprocess(batch)}) for batch in batches(images)]
    print_top5(output, class_names, args.pictures)
    print(f"Time: {time.time() - t:.3f} seconds")


if __name__ == "__main__":
    run_script(main)

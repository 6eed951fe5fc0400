"""Step 1: AlexNet names what it sees.

    python imagenet_inference.py                    a poodle and a weasel
    python imagenet_inference.py dog.jpg cat.png    your own pictures

For each picture it prints the five likeliest of ImageNet's 1,000 classes with their
probabilities.
"""
import time

from alexnet import AlexNet
from caffe_classes import class_names
from data.files import LabError, Parser, find, run_script
from data.pictures import preprocess, print_top5, read_picture
from data.tf1 import tf

PICTURES = ("poodle.png", "weasel.png")


def main():
    parser = Parser(__doc__)
    parser.add_argument("pictures", nargs="*", help="pictures of any size")
    parser.add_argument("--weights", help="a weights file; default: bvlc-alexnet.npy")
    args = parser.parse_args()
    images = [read_picture(path, 227) for path in args.pictures or map(find, PICTURES)]

    x = tf.placeholder(tf.float32, (None, 227, 227, 3))
    probs = AlexNet(x, weights=args.weights)  # (N, 1000)
    if probs.shape[1] != len(class_names):
        raise LabError(f"{args.weights}: has {probs.shape[1]} classes, not ImageNet's 1,000; "
                       "use it with traffic_sign_inference.py")
    init = tf.global_variables_initializer()
    sess = tf.Session()
    sess.run(init)

    t = time.time()
    output = sess.run(probs, feed_dict={x: preprocess(images)})
    print_top5(output, class_names, args.pictures)
    print(f"Time: {time.time() - t:.3f} seconds")


if __name__ == "__main__":
    run_script(main)

"""Step 2: AlexNet looks at 32x32 traffic signs, resized in the graph.

    python traffic_sign_inference.py                            construction and stop
    python traffic_sign_inference.py sign.jpg                   your own pictures

    python traffic_sign_inference.py --head data/traffic_sign_head.npy [sign.jpg]
        after step 3: the same network with the new head, which knows the signs' names

For each picture it prints the five likeliest classes with their probabilities. ImageNet
has no class for most signs, so without a new head the answers miss the point.

The lines between `# Exercise resize` and `# End of resize` are yours to write anew: put
`...` in their place, write, and ask `python tests/check.py resize`.
"""
import time

import caffe_classes
from alexnet import AlexNet
from data import signs
from data.files import LabError, Parser, find, run_script
from data.pictures import preprocess, print_top5, read_picture
from data.reading import BACKBONE, SHAPES, read_weights
from data.tf1 import tf

PICTURES = ("construction.jpg", "stop.jpg")
CLASS_NAMES = {1000: caffe_classes.class_names, 43: signs.class_names}


def main():
    parser = Parser(__doc__)
    parser.add_argument("pictures", nargs="*", help="pictures of any size")
    parser.add_argument("--weights", help="a weights file; default: bvlc-alexnet.npy")
    parser.add_argument("--head", help="a trained head, to take the place of fc8")
    args = parser.parse_args()
    images = [read_picture(path, 32) for path in args.pictures or map(find, PICTURES)]
    layers = BACKBONE if args.head else SHAPES
    weights = read_weights(args.weights or find("bvlc-alexnet.npy"), layers)
    if args.head:
        weights.update(read_weights(args.head, ["fc8"]))

    # Exercise resize: the signs have 32x32 pixels, AlexNet expects 227x227.
    x = tf.placeholder(tf.float32, (None, 32, 32, 3))
    # Legacy bilinear sampling, without half-pixel centres, as the course ran; TensorFlow
    # 2's own tf.image.resize gives other numbers.
    resized = tf.image.resize_images(x, (227, 227))  # (N, 227, 227, 3)
    # End of resize
    probs = AlexNet(resized, weights=weights)  # (N, 1000), with a head (N, 43)
    if probs.shape[1] not in CLASS_NAMES:
        raise LabError(f"{args.head or args.weights}: fc8 has {probs.shape[1]} classes; "
                       "give one with ImageNet's 1,000 or the 43 signs")
    init = tf.global_variables_initializer()
    sess = tf.Session()
    sess.run(init)

    t = time.time()
    output = sess.run(probs, feed_dict={x: preprocess(images)})
    print_top5(output, CLASS_NAMES[probs.shape[1]], args.pictures)
    print(f"Time: {time.time() - t:.3f} seconds")


if __name__ == "__main__":
    run_script(main)

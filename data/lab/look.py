"""What the network sees: its channels, its first filters, and what its answer hangs on."""
import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data.lab import figures, paths
from data.lab.batches import batches
from data.lab.pictures import preprocess
from data.lab.tf1 import tf

LAYERS = "conv1", "conv2", "conv3", "conv4", "conv5"
CHANNELS = 16  # of each layer, those that answer most
MAP = 56  # pixels of a channel's map in the figure
PICTURE = 227


def saliency_op(x):
    """The gradient of the most probable class's logit with respect to the placeholder `x`.

    As in K. Simonyan, A. Vedaldi, A. Zisserman, "Deep Inside Convolutional Networks", 2014.
    """
    logits = tf.get_default_graph().get_tensor_by_name("fc8:0")  # (N, classes)
    (gradient,) = tf.gradients(tf.reduce_max(logits, axis=1), x)
    return gradient  # (N, size, size, 3)


def shades(values):
    """`values` as uint8 from 0, the least of them, to 255."""
    low, high = values.min(), values.max()
    return (255 * (values - low) / max(high - low, 1e-12)).round().astype(np.uint8)


def draw_picture(image, activations, gradient, answer):
    """A PIL picture of one image: as it is fed, the saliency over it, the channels below.

    image: uint8 (size, size, 3); activations: {layer: (height, width, channels)}; gradient:
    (size, size, 3); answer: the most probable class.
    """
    font = ImageFont.load_default(12)
    width = 60 + CHANNELS * (MAP + 2)
    sheet = Image.new("RGB", (width, PICTURE + 30 + len(LAYERS) * (MAP + 6)), "white")
    draw = ImageDraw.Draw(sheet)
    fed = Image.fromarray(image).resize((PICTURE, PICTURE), Image.Resampling.NEAREST)
    heat = shades(np.abs(gradient).max(axis=2))
    heat = Image.fromarray(heat).resize((PICTURE, PICTURE), Image.Resampling.BILINEAR)
    red = Image.new("RGB", fed.size, (255, 0, 0))
    laid_over = Image.composite(red, fed.convert("L").convert("RGB"), heat)
    for i, (picture, text) in enumerate((
            (fed, f"fed: {image.shape[1]}x{image.shape[0]}"), (laid_over, f"saliency: {answer}"))):
        x = 60 + i * (PICTURE + 120)
        sheet.paste(picture, (x, 20))
        draw.text((x, 14), text[:60], "black", font, anchor="ls")
    for row, (layer, maps) in enumerate(activations.items()):
        y = PICTURE + 28 + row * (MAP + 6)
        draw.text((54, y + MAP / 2), layer, "black", font, anchor="rm")
        most = np.argsort(-maps.mean(axis=(0, 1)), kind="stable")[:CHANNELS]
        for column, channel in enumerate(most):
            picture = Image.fromarray(shades(maps[..., channel]))
            picture = picture.resize((MAP, MAP), Image.Resampling.NEAREST)
            sheet.paste(picture, (60 + column * (MAP + 2), y))
    return sheet


def draw_filters(W, columns=12, side=44):
    """A PIL picture of conv1's filters, W (11, 11, 3, 96), each from its least to its largest.

    They were trained on BGR, so red and blue are exchanged to show the colours they look for.
    """
    rows = -(-W.shape[3] // columns)
    sheet = Image.new("RGB", (columns * (side + 2), rows * (side + 2)), "white")
    for i in range(W.shape[3]):
        tile = Image.fromarray(shades(W[:, :, ::-1, i]))
        tile = tile.resize((side, side), Image.Resampling.NEAREST)
        sheet.paste(tile, (i % columns * (side + 2), i // columns * (side + 2)))
    return sheet


def look(sess, x, images, weights, probs):
    """Write the figures into a folder of data/runs/, whose path is told on stderr.

    x: the placeholder of the images, uint8 (N, size, size, 3); probs: of each batch, as
    printed. filters.png, and for each image one PNG of its number.
    """
    graph = tf.get_default_graph()
    tensors = {layer: graph.get_tensor_by_name(layer + ":0") for layer in LAYERS}
    saliency, number = saliency_op(x), 0
    folder = paths.new_run()
    figures.write(folder / "filters.png", draw_filters(weights["conv1"][0]))
    for batch, p in zip(batches(images), probs):
        maps, gradients = sess.run([tensors, saliency], feed_dict={x: preprocess(batch)})
        for i, image in enumerate(batch):
            sheet = draw_picture(image, {layer: maps[layer][i] for layer in LAYERS}, gradients[i],
                                 weights.names[p[i].argmax()])
            figures.write(folder / f"{number}.png", sheet)
            number += 1
    print(f"What the network sees: {paths.shown(folder)}", file=sys.stderr)

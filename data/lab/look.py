"""What the network sees: its channels, its filters, and the pixels its answer depends on."""
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from data.lab import figures, paths
from data.lab.batches import batches
from data.lab.command import say
from data.lab.tf1 import tf

LAYERS = "conv1", "conv2", "conv3", "conv4", "conv5"
CHANNELS = 16  # of each layer, those of the highest mean activation
MAP = 56  # pixels of a channel along a side, in the figure
IMAGE = 227  # pixels of the image along a side, in the figure
LEFT = 60  # pixels for the names of the layers
FIGURE = 300_000  # bytes of a figure's file, about


def stretch(values):
    """`values` as uint8, scaled from 0 (the minimum) to 255 (the maximum)."""
    low, high = values.min(), values.max()
    return (255 * (values - low) / max(high - low, 1e-12)).round().astype(np.uint8)


def draw_filters(W):
    """A PIL image of conv1's filters, W (11, 11, 3, 96), each scaled to its own range.

    They were trained on BGR, so red and blue are exchanged to show the colours they look for.
    """
    return figures.grid([stretch(W[:, :, ::-1, i]) for i in range(W.shape[3])], 12, 44)


def draw_look(image, answer, gradient, *activations):
    """A PIL image of one image: as it is fed, its saliency beside it, the channels below.

    image, gradient: (size, size, 3); answer: number and name of the most probable class;
    activations: (height, width, channels) of each of LAYERS.
    """
    fed = Image.fromarray(stretch(image)).resize((IMAGE, IMAGE), Image.Resampling.BOX)
    heat = Image.fromarray(stretch(np.abs(gradient).max(axis=2)))
    heat = heat.resize((IMAGE, IMAGE), Image.Resampling.BILINEAR)
    saliency = Image.composite(Image.new("RGB", fed.size, "red"), fed.convert("L").convert("RGB"),
                               heat)
    top = figures.grid([np.asarray(fed), np.asarray(saliency)], 2, IMAGE, width=IMAGE + 60,
                       captions=[f"fed: {len(image)}x{len(image)}", f"saliency: {answer}"])
    maps = [stretch(layer[..., channel]) for layer in activations for channel in
            np.argsort(-layer.mean(axis=(0, 1)), kind="stable")[:CHANNELS]]
    channels = figures.grid(maps, CHANNELS, MAP)
    picture = Image.new("RGB", (LEFT + channels.width, top.height + channels.height), "white")
    picture.paste(top, (LEFT, 0))
    picture.paste(channels, (LEFT, top.height))
    for i, layer in enumerate(LAYERS):
        position = LEFT - 6, top.height + channels.height * (i + 0.5) / len(LAYERS)
        ImageDraw.Draw(picture).text(position, layer, "black", figures.FONT, "rm")
    return picture


def look(sess, x, files, read, names):
    """Write figures of what the network sees into a new folder in data/runs/, and print its path.

    x: the placeholder; read: a function, one of `files` -> its image as fed, float32 (size,
    size, 3), minus its mean; names: of the classes. Writes filters.png, and for each image
    NUMBER_NAME.png. The saliency is the gradient of the logit of the most probable class with
    respect to x, as in K. Simonyan, A. Vedaldi, A. Zisserman, "Deep Inside Convolutional
    Networks", 2014. Raises LabError, before any work, if there is not enough disk space.
    """
    logits = tf.get_default_graph().get_tensor_by_name("fc8:0")  # (N, classes)
    (gradients,) = tf.gradients(tf.reduce_max(logits, axis=1), x)  # (N, size, size, 3)
    layers = [f"{layer}:0" for layer in LAYERS]
    paths.need_room(paths.make_folder(paths.DATA / "runs"), FIGURE * len(files),
                    "for the figures", "free some space, or give fewer images")
    folder = paths.new_run()
    filters = sess.run(tf.global_variables("conv1/weights")[0])
    figures.write(folder / "filters.png", draw_filters(filters))
    for batch in batches(range(len(files)), 4):
        images = [read(files[i]) for i in batch]
        found = sess.run([logits, gradients, *layers], {x: images})
        for i, image, logit, *rest in zip(batch, images, *found):
            answer = figures.label(logit.argmax(), names[logit.argmax()], 38)
            name = Path(files[i]).stem[:50]  # as some systems limit names to 255 bytes
            figures.write(folder / f"{i}_{name}.png", draw_look(image, answer, *rest))
    say(f"Visualizations: {paths.in_lab(folder)}")

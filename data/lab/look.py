"""What the network sees: its channels, its filters, and the pixels its answer depends on."""
import numpy as np
from PIL import Image, ImageDraw

from data.lab import figures, paths
from data.lab.batches import batches
from data.lab.command import say
from data.lab.tf1 import tf

LAYERS = "conv1", "conv2", "conv3", "conv4", "conv5"
CHANNELS = 16  # of each layer, those of the highest mean activation
MAP = 56  # pixels of a channel's map in the figure
IMAGE = 227  # and of the image
LEFT = 60  # for the names of the layers


def stretch(values):
    """`values` as uint8 from 0, the least of them, to 255, the largest."""
    low, high = values.min(), values.max()
    return (255 * (values - low) / max(high - low, 1e-12)).round().astype(np.uint8)


def draw_filters(W):
    """A PIL image of conv1's filters, W (11, 11, 3, 96), each from its least to its largest value.

    They were trained on BGR, so red and blue are exchanged to show the colours they look for.
    """
    return figures.grid([stretch(W[:, :, ::-1, i]) for i in range(W.shape[3])], 12, 44)


def draw_look(image, answer, gradient, *activations):
    """A PIL image of one image: as it is fed, the saliency over it, the channels below.

    image, gradient: (size, size, 3); answer: number and name of the most probable class;
    activations: (height, width, channels) of each of LAYERS.
    """
    fed = Image.fromarray(stretch(image)).resize((IMAGE, IMAGE), Image.Resampling.BOX)
    heat = Image.fromarray(stretch(np.abs(gradient).max(axis=2)))
    heat = heat.resize((IMAGE, IMAGE), Image.Resampling.BILINEAR)
    saliency = Image.composite(Image.new("RGB", fed.size, "red"), fed.convert("L").convert("RGB"),
                               heat)
    top = figures.grid([*map(np.asarray, (fed, saliency))], 2, IMAGE, width=IMAGE + 60,
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


def look(sess, x, images, answers):
    """Write figures of what the network sees into a new folder in data/runs/, and print its path.

    x: the placeholder; images: float32 (N, size, size, 3), each minus its mean, as fed; answers:
    the name of the most probable class of each. Writes filters.png, and 0.png, 1.png ... The
    saliency is the gradient of that class's logit with respect to x, as in K. Simonyan, A.
    Vedaldi, A. Zisserman, "Deep Inside Convolutional Networks", 2014.
    """
    logits = tf.get_default_graph().get_tensor_by_name("fc8:0")  # (N, classes)
    (gradients,) = tf.gradients(tf.reduce_max(logits, axis=1), x)  # (N, size, size, 3)
    layers = [f"{layer}:0" for layer in LAYERS]
    folder = paths.new_run()
    filters = sess.run(tf.global_variables("conv1/weights")[0])
    figures.write(folder / "filters.png", draw_filters(filters))
    for batch in batches([*zip(range(len(images)), images, answers)]):
        found = sess.run([logits, gradients, *layers], {x: [image for _, image, _ in batch]})
        for (number, image, name), logit, *rest in zip(batch, *found):
            picture = draw_look(image, figures.label(logit.argmax(), name, 38), *rest)
            figures.write(folder / f"{number}.png", picture)
    say(f"Visualizations: {paths.in_lab(folder)}")

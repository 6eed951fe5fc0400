"""How good the head is: intervals, recalls, pictures and TensorBoard's files."""
import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.stats import binomtest

from data.files import atomic_write
from data.signs import class_names
from data.tf1 import tf

CELL = 18  # pixels, of the confusion matrix
RIGHT, WRONG = (30, 120, 30), (180, 30, 30)  # colours of a full cell
ZOOM = 3  # of the 32x32 pictures


def print_accuracy(what, probs, labels):
    """Print the accuracy of probs (N, 43) with its 95 % interval; what: Validation or Test.

    The interval is Wilson's (1927). It counts images as independent, which the frames of
    one track are not: between other signs, accuracy varies more.
    """
    right = int((probs.argmax(axis=1) == labels).sum())
    share = binomtest(right, len(labels)).proportion_ci(0.95, method="wilson")
    interval = f"(95 % interval {share.low:.3f} to {share.high:.3f})"
    print(f"{what} Accuracy = {right / len(labels):.3f} {interval}")


def confusion_matrix(labels, predictions):
    """int (43, 43): row = the true class, column = the predicted one."""
    classes = len(class_names)
    pairs = np.bincount(labels * classes + predictions, minlength=classes**2)
    return pairs.reshape(classes, classes)


def print_worst(probs, labels, count=5):
    """Print the `count` classes of `labels` with the lowest recall, the share found."""
    matrix = confusion_matrix(labels, probs.argmax(axis=1))
    totals = matrix.sum(axis=1)
    recalls = np.diag(matrix) / np.maximum(totals, 1)
    worst = [c for c in np.argsort(recalls, kind="stable") if totals[c]][:count]
    print("Lowest recall:")
    for c in worst:
        print(f"  {recalls[c]:.3f} of {totals[c]:,} {class_names[c]}")


def draw_confusion(matrix):
    """A PIL picture of the confusion matrix, each row in per cent of its true class."""
    font = ImageFont.load_default(12)
    names = [f"{name} {i}" for i, name in enumerate(class_names)]
    margin = int(max(font.getlength(name) for name in names)) + 12
    side = CELL * len(names)

    def draw_names(x, anchor):
        picture = Image.new("RGB", (margin, side), "white")
        for i, name in enumerate(names):
            position = (x, CELL * i + CELL // 2)
            ImageDraw.Draw(picture).text(position, name, "black", font, anchor=anchor)
        return picture

    picture = Image.new("RGB", (margin + side + 8, margin + side + 8), "white")
    picture.paste(draw_names(margin - 6, "rm"), (0, margin))
    picture.paste(draw_names(6, "lm").rotate(90, expand=True), (margin, 0))
    draw = ImageDraw.Draw(picture)
    draw.multiline_text((8, 8), "rows: true class\ncolumns: predicted class\n"
                        "numbers: % of the row", "black", font, spacing=6)
    percent = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    digits = ImageFont.load_default(9)
    for row, column in np.ndindex(matrix.shape):
        x, y = margin + CELL * column, margin + CELL * row
        share = percent[row, column]
        shade = np.sqrt(share / 100)  # the root keeps rare confusions visible
        full = np.array(RIGHT if row == column else WRONG)
        colour = tuple((255 - (255 - full) * shade).astype(int).tolist())
        draw.rectangle((x, y, x + CELL, y + CELL), colour, (225, 225, 225))
        if share >= 0.5:
            ink = "white" if shade > 0.6 else "black"
            position = (x + CELL / 2, y + CELL / 2)
            draw.text(position, f"{share:.0f}", ink, digits, anchor="mm")
    return picture


def draw_mistakes(images, labels, probs, count=15):
    """A PIL picture of the `count` mistakes that the head is surest of, with both names.

    images: uint8 (N, 32, 32, 3); labels: int (N,); probs: (N, 43).
    """
    predictions = probs.argmax(axis=1)
    (wrong,) = np.nonzero(predictions != labels)
    surest = wrong[np.argsort(-probs[wrong].max(axis=1), kind="stable")][:count]
    font = ImageFont.load_default(12)
    height, width = 32 * ZOOM + 8, 480
    picture = Image.new("RGB", (width, height * max(len(surest), 1)), "white")
    draw = ImageDraw.Draw(picture)
    for i, index in enumerate(surest):
        sign = Image.fromarray(images[index]).resize((32 * ZOOM, 32 * ZOOM))
        picture.paste(sign, (4, height * i + 4))
        text = f"it is: {class_names[labels[index]]}\n" \
               f"answer: {class_names[predictions[index]]}\n" \
               f"probability: {probs[index].max():.3f}"
        draw.multiline_text((32 * ZOOM + 16, height * i + 24), text, "black", font, spacing=6)
    return picture


def png(picture):
    """`picture` as the bytes of a PNG file."""
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def print_epoch(epoch, seconds, training_loss, result):
    """Print an epoch in the course's form; result: loss and accuracy."""
    print("Epoch", epoch)
    print(f"Time: {seconds:.3f} seconds")
    print(f"Training Loss = {training_loss:.4f}")
    print(f"Validation Loss = {result.loss:.4f}")
    print(f"Validation Accuracy = {result.accuracy:.4f}")
    print(flush=True)


def add_scalars(writer, step, **values):
    """Add scalars by name to TensorBoard's event file at `step`, an epoch."""
    value = [tf.Summary.Value(tag=tag, simple_value=float(v)) for tag, v in values.items()]
    writer.add_summary(tf.Summary(value=value), step)


def write_pictures(folder, writer, images, labels, probs):
    """Write confusion.png and mistakes.png into `folder`, and both to TensorBoard."""
    pictures = {
        "confusion": draw_confusion(confusion_matrix(labels, probs.argmax(axis=1))),
        "mistakes": draw_mistakes(images, labels, probs),
    }
    for name, picture in pictures.items():
        with atomic_write(folder / f"{name}.png") as file:
            file.write(png(picture))
        image = tf.Summary.Image(
            width=picture.width, height=picture.height, colorspace=3,
            encoded_image_string=png(picture),
        )
        writer.add_summary(tf.Summary(value=[tf.Summary.Value(tag=name, image=image)]))

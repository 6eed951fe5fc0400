"""What a training run prints, draws and writes for TensorBoard."""
import atexit
import io
import time

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.stats import binomtest

from data.lab import paths
from data.lab.command import LabError
from data.lab.gtsrb import class_names
from data.lab.tf1 import tf

CELL = 18  # pixels, of the confusion matrix
RIGHT, WRONG = (30, 120, 30), (180, 30, 30)  # colours of a full cell
ZOOM = 3  # of the 32x32 pictures


def interval(right, tracks=None):
    """(low, high, how): the 95 % interval of the accuracy of `right`, bool (N,).

    tracks: the number of each image's track, int (N,). The frames of one track are right or
    wrong together, so whole tracks are resampled (the bootstrap: Efron, 1979), always with
    the same random numbers. Where no tracks are known, it is Wilson's interval (1927), which
    takes the images as independent and is too narrow if they are not. It serves for tracks
    too, a track counting as one image, when all are right or all are wrong.
    """
    if tracks is None or right.all() or not right.any():
        size = len(right) if tracks is None else len(np.unique(tracks))
        share = binomtest(round(right.mean() * size), size).proportion_ci(0.95, method="wilson")
        return share.low, share.high, "Wilson"
    track = np.unique(tracks, return_inverse=True)[1]
    images, hits = np.bincount(track), np.bincount(track, right)
    picks = np.random.default_rng(0).integers(0, len(images), (2000, len(images)))
    low, high = np.percentile(hits[picks].sum(1) / images[picks].sum(1), (2.5, 97.5))
    return low, high, "by tracks"


def finite(loss):
    """`loss`; raises LabError after divergence."""
    if not np.isfinite(loss):
        raise LabError("the loss is no longer a number: training diverged; "
                       "choose a smaller --learning-rate")
    return loss


def print_accuracy(what, probs, data, indices=slice(None)):
    """Print the accuracy of probs (n, 43) for the images `indices` of a data set.

    what: whose accuracy it is; data: labels (N,), and tracks (N,) or None.
    """
    right = probs.argmax(axis=1) == data.labels[indices]
    low, high, how = interval(right, None if data.tracks is None else data.tracks[indices])
    print(f"{what} = {right.mean():.3f} (95 % interval {low:.3f} to {high:.3f}, {how})")


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
    """A PIL picture of the `count` mistakes that the head is most confident of, with both names.

    images: uint8 (N, 32, 32, 3); labels: int (N,); probs: (N, 43).
    """
    predictions = probs.argmax(axis=1)
    (wrong,) = np.nonzero(predictions != labels)
    first = wrong[np.argsort(-probs[wrong].max(axis=1), kind="stable")][:count]
    font = ImageFont.load_default(12)
    height, width = 32 * ZOOM + 8, 480
    picture = Image.new("RGB", (width, height * max(len(first), 1)), "white")
    draw = ImageDraw.Draw(picture)
    for i, index in enumerate(first):
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


class Run:
    """The folder of one run in data/runs/, with TensorBoard's file."""

    def __init__(self):
        name = time.strftime("%Y%m%d-%H%M%S")
        for suffix in ("", *(f"-{i}" for i in range(2, 1000))):
            self.folder = paths.DATA / "runs" / (name + suffix)
            try:
                self.folder.mkdir(parents=True)
                break
            except FileExistsError:  # another run's, of the same second
                continue
        self.writer = tf.summary.FileWriter(str(self.folder))
        atexit.register(self.writer.close)  # however the run ends
        self.step = 0

    def add_epoch(self, epoch, seconds, training_loss, result):
        """Print an epoch in the course's form; result: its loss and accuracy."""
        print("Epoch", epoch)
        print(f"Time: {seconds:.3f} seconds")
        print(f"Training Loss = {training_loss:.4f}")
        print(f"Validation Loss = {result.loss:.4f}")
        print(f"Validation Accuracy = {result.accuracy:.4f}")
        print(flush=True)
        self.step += 1
        values = {"training_loss": training_loss, "validation_loss": result.loss,
                  "validation_accuracy": result.accuracy}
        self.writer.add_summary(tf.Summary(value=[
            tf.Summary.Value(tag=tag, simple_value=float(v)) for tag, v in values.items()]),
            self.step)
        finite(result.loss)

    def add_validation(self, epoch, data, probs):
        """Print and draw what the best epoch's `probs` say of data's validation images."""
        images, labels = data.images[data.validation], data.labels[data.validation]
        pictures = {
            "confusion": draw_confusion(confusion_matrix(labels, probs.argmax(axis=1))),
            "mistakes": draw_mistakes(images, labels, probs),
        }
        for name, picture in pictures.items():
            with paths.atomic_write(self.folder / f"{name}.png") as file:
                file.write(png(picture))
            image = tf.Summary.Image(
                width=picture.width, height=picture.height, colorspace=3,
                encoded_image_string=png(picture))
            self.writer.add_summary(tf.Summary(value=[tf.Summary.Value(tag=name, image=image)]))
        print(f"Best epoch: {epoch}")
        print_accuracy("Best Validation Accuracy", probs, data, data.validation)
        print_worst(probs, labels)

    def print_files(self, head):
        """Print where the results are."""
        print(f"Head: data/{head}")
        print(f"Pictures and TensorBoard's file: {paths.shown(self.folder)}\n")

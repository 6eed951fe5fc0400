"""What a training run prints, draws and writes for TensorBoard."""
import atexit
import textwrap

import numpy as np
from PIL import Image
from scipy.stats import binomtest

from data.lab import figures, paths
from data.lab.command import LabError, say
from data.lab.gtsrb import class_names
from data.lab.tf1 import tf
from data.lab.weights import identify, save_weights


def interval(right, tracks, tracked):
    """Return the 95% confidence interval of an accuracy: low, high, and the method's name.

    right: whether each prediction is correct, bool (N,); tracks: int (N,). The frames of a track
    tend to be all correct or all incorrect, so whole tracks are resampled (the bootstrap: Efron,
    1979), always with the same random numbers. Unless tracks are known (`tracked`), it is
    Wilson's interval (1927), which treats images as independent and is too narrow if they are
    not. If all tracks have the same accuracy, it is Wilson's, too; a track counts as one image.
    """
    track = np.unique(tracks, return_inverse=True)[1]
    images, hits = np.bincount(track), np.bincount(track, right)
    if not tracked or len(np.unique(hits / images)) == 1:
        share = binomtest(round(right.mean() * len(images)), len(images)).proportion_ci(
            0.95, method="wilson")
        return share.low, share.high, "Wilson by track" if tracked else "Wilson"
    rng, shares = np.random.default_rng(0), []
    for _ in range(20):  # 100 samples at a time, which is little memory for many tracks
        picks = rng.integers(0, len(images), (100, len(images)))
        shares.append(hits[picks].sum(axis=1) / images[picks].sum(axis=1))
    low, high = np.percentile(shares, (2.5, 97.5))
    return low, high, "bootstrap by track"


def extra(data):
    """Return what a weights file stores about classes and images, unless they are GTSRB's."""
    names = {} if data.names == class_names else {"names": data.names}
    return names if data.size == 32 else {**names, "size": data.size}


def print_worst(matrix, names, count=5):
    """Print the `count` classes with the lowest recall, and all others whose recall is 0."""
    recall = figures.recalls(matrix)
    order = np.argsort(recall, kind="stable")  # NaN, of classes without images, is last
    print("Lowest recall:")
    for c in order[:min(count, np.isfinite(recall).sum())]:
        images = "1 image" if matrix[c].sum() == 1 else f"{matrix[c].sum():,} images"
        print(f"  {recall[c]:.3f} ({images}) {names[c]}")
    if more := [names[c] for c in order[count:] if recall[c] == 0]:
        print(textwrap.fill("also 0.000: " + "; ".join(more), 79, initial_indent="  ",
                            subsequent_indent="    "))


def warn(matrix, names, low):
    """Warn if the head has learned nothing; low: the lower end of its accuracy's interval."""
    answers, common = matrix.sum(axis=0), matrix.sum(axis=1).max() / matrix.sum()
    if answers.max() == matrix.sum() and np.count_nonzero(matrix.sum(axis=1)) > 1:
        say(f"The prediction is always {names[answers.argmax()]}: try another --learning-rate or "
            "more --epochs, and check whether the labels match the images")
    elif low <= common and np.trace(matrix) < 2 * common * matrix.sum():
        say("The accuracy may be no better than always predicting the most frequent class "
            f"({common:.3f}): try another --learning-rate or more --epochs, and check whether the "
            "labels match the images")


class Run:
    """The folder of one run in data/runs/, with TensorBoard's file."""

    def __init__(self, graph):
        self.folder = paths.new_run()
        self.writer = tf.summary.FileWriter(str(self.folder), graph)
        atexit.register(self.writer.close)  # however the run ends
        self.history = []  # of each epoch: loss and accuracy, first of training, then validation
        self.note = ""  # on the weights, after each accuracy

    def add_epoch(self, epoch, seconds, training_loss, training_accuracy, result):
        """Print an epoch as in the course; result: its validation loss and accuracy.

        Those of training are means over the epoch's batches, during which the weights changed.
        Raises LabError if training has diverged.
        """
        print("Epoch", epoch)
        print(f"Time: {seconds:.3f} seconds")
        print(f"Training Loss = {training_loss:.4f}")
        print(f"Validation Loss = {result.loss:.4f}")
        print(f"Validation Accuracy = {result.accuracy:.4f}")
        print(flush=True)
        self.history.append((training_loss, training_accuracy, result.loss, result.accuracy))
        names = "loss/training", "accuracy/training", "loss/validation", "accuracy/validation"
        values = [tf.Summary.Value(tag=name, simple_value=float(value))
                  for name, value in zip(names, self.history[-1])]
        self.writer.add_summary(tf.Summary(value=values), len(self.history))
        if not np.isfinite(self.history[-1]).all():
            raise LabError("training diverged: the loss is no longer a number; "
                           "choose a smaller --learning-rate")

    def print_accuracy(self, what, probs, data, indices=slice(None)):
        """Print the accuracy of probs (n, classes) for the images `indices` of `data`.

        what: whose accuracy it is. Returns the lower end of its interval.
        """
        right = probs.argmax(axis=1) == data.labels[indices]
        low, high, how = interval(right, data.tracks[indices], data.tracked)
        print(f"{what} = {right.mean():.3f}{self.note}")
        print(f"  95% confidence interval: {low:.3f} to {high:.3f} ({how})")
        return low

    def add_validation(self, epoch, data, probs):
        """Print and draw how the best epoch's `probs` fit data's validation images."""
        labels = data.labels[data.validation]
        matrix = figures.confusion_matrix(labels, probs.argmax(axis=1), len(data.names))
        self.add_figure("confusion", figures.draw_confusion(matrix, data.names))
        wrong = figures.find_mistakes(labels, probs, data.tracks[data.validation])
        images = data.images[data.validation[wrong]]
        for i, image in enumerate(images, 1):
            self.add_figure(f"mistakes/{i}", Image.fromarray(image))
        if len(wrong):
            self.add_figure("mistakes", figures.draw_mistakes(
                images, labels[wrong], probs[wrong], data.names))
        self.add_curves()
        print(f"Best epoch: {epoch}")
        low = self.print_accuracy("Best Validation Accuracy", probs, data, data.validation)
        print_worst(matrix, data.names)
        warn(matrix, data.names, low)
        numbers = "".join(f"{i} {name}\n" for i, name in enumerate(data.names))
        (self.folder / "classes.txt").write_text(numbers, "utf-8")

    def add_figure(self, name, picture):
        """Write a figure to the run's folder and to TensorBoard."""
        content = figures.write(self.folder / f"{name}.png", picture)
        image = tf.Summary.Image(width=picture.width, height=picture.height, colorspace=3,
                                 encoded_image_string=content)
        self.writer.add_summary(tf.Summary(value=[tf.Summary.Value(tag=name, image=image)]))

    def add_curves(self):
        """Draw the losses and accuracies of all epochs so far."""
        best = 1 + np.argmax(self.history, axis=0)[3]
        self.add_figure("curves", figures.draw_curves(self.history, best))

    def add_neighbours(self, data, probs, rows):
        """Draw validation images and the training images with the most similar features.

        probs: of the validation images, (n, classes); rows: a function, indices (n,) -> features
        (n, 4096).
        """
        chosen = np.linspace(0, len(data.validation) - 1, 8).astype(int)
        queries, predictions = data.validation[chosen], probs[chosen].argmax(axis=1)
        near = figures.find_neighbours(rows, queries, data.training, data.tracks)
        picture = figures.draw_neighbours(data, queries, predictions, near)
        self.add_figure("neighbours", picture)

    def save_head(self, head, data, backbone):
        """Write the head, [W, b], to the run's folder and, for step 4, to data/.

        The file also identifies the `backbone`, {layer: [W, b]}, that the head belongs to.
        """
        content = {"fc8": head, "backbone": identify(backbone), **extra(data)}
        self.note = " (synthetic weights)" * ("synthetic" in content["backbone"][0])
        for path in self.folder / "head.npy", paths.DATA / "traffic_sign_head.npy":
            save_weights(path, content)

    def print_files(self):
        """Print where the results are."""
        print(f"Head: {paths.in_lab(paths.DATA / 'traffic_sign_head.npy')}")
        print(f"Figures and TensorBoard log: {paths.in_lab(self.folder)}\n")

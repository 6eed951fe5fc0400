"""What a training run prints, draws and writes for TensorBoard."""
import atexit

import numpy as np
from PIL import Image
from scipy.stats import binomtest

from data.lab import figures, paths
from data.lab.command import LabError
from data.lab.tf1 import tf
from data.lab.weights import save_weights


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
        return share.low, share.high, "Wilson" if tracks is None else "Wilson by tracks"
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


def print_worst(matrix, names, count=5):
    """Print the `count` classes with the lowest recall, the share of them that is found."""
    recall = figures.recalls(matrix)
    print("Lowest recall:")
    for c in np.argsort(recall, kind="stable")[:min(count, np.isfinite(recall).sum())]:
        print(f"  {recall[c]:.3f} of {matrix[c].sum():,} {names[c]}")


class Run:
    """The folder of one run in data/runs/, with TensorBoard's file."""

    def __init__(self, graph):
        self.folder = paths.new_run()
        self.writer = tf.summary.FileWriter(str(self.folder), graph)
        atexit.register(self.writer.close)  # however the run ends
        self.history = []  # training loss, validation loss and accuracy of each epoch
        self.head = self.best = 0  # how many of them trained the head alone, and the best of these

    def add_epoch(self, epoch, seconds, training_loss, result):
        """Print an epoch in the course's form; result: its loss and accuracy."""
        print("Epoch", epoch)
        print(f"Time: {seconds:.3f} seconds")
        print(f"Training Loss = {training_loss:.4f}")
        print(f"Validation Loss = {result.loss:.4f}")
        print(f"Validation Accuracy = {result.accuracy:.4f}")
        print(flush=True)
        self.history.append((training_loss, result.loss, result.accuracy))
        names = "training_loss", "validation_loss", "validation_accuracy"
        values = [tf.Summary.Value(tag=name, simple_value=float(value))
                  for name, value in zip(names, self.history[-1])]
        self.writer.add_summary(tf.Summary(value=values), len(self.history))
        finite(result.loss)

    def add_validation(self, epoch, data, probs):
        """Print and draw what the best epoch's `probs` say of data's validation images."""
        labels = data.labels[data.validation]
        tracks = None if data.tracks is None else data.tracks[data.validation]
        matrix = figures.confusion_matrix(labels, probs.argmax(axis=1), len(data.names))
        wrong = figures.find_mistakes(labels, probs, tracks)
        images = data.images[data.validation[wrong]]
        pictures = {f"mistakes/{i}": Image.fromarray(image) for i, image in enumerate(images, 1)}
        pictures["confusion"] = figures.draw_confusion(matrix, data.names)
        pictures["mistakes"] = figures.draw_mistakes(
            images, labels[wrong], probs[wrong], data.names)
        for name, picture in pictures.items():
            self.add_picture(name, picture)
        self.head, self.best = len(self.history), epoch
        self.add_curves(epoch)
        print(f"Best epoch: {epoch}")
        print_accuracy("Best Validation Accuracy", probs, data, data.validation)
        print_worst(matrix, data.names)

    def add_picture(self, name, picture):
        """Write a picture into the folder, and to TensorBoard."""
        content = figures.write(self.folder / f"{name}.png", picture)
        image = tf.Summary.Image(width=picture.width, height=picture.height, colorspace=3,
                                 encoded_image_string=content)
        self.writer.add_summary(tf.Summary(value=[tf.Summary.Value(tag=name, image=image)]))

    def add_curves(self, best):
        """Draw the losses and the accuracy of all epochs so far; best: the best one's number."""
        self.add_picture("curves", figures.draw_curves(self.history, best, self.head))

    def add_neighbours(self, data, feed, features):
        """Draw validation images beside the training images whose features are nearest.

        feed: indices (n,) -> feed_dict; without `features` in it, no cache, nothing is drawn.
        """
        queries = data.validation[np.linspace(0, len(data.validation) - 1, 8).astype(int)]
        if features not in feed(queries[:1]):
            return
        near = figures.find_neighbours(lambda i: feed(i)[features], queries, data.training)
        self.add_picture("neighbours", figures.draw_neighbours(data, queries, near))

    def save_head(self, content):
        """Write the head into the folder and, for step 4, into data/."""
        for path in self.folder / "head.npy", paths.DATA / "traffic_sign_head.npy":
            save_weights(path, content)

    def print_files(self):
        """Print where the results are."""
        print("Head: data/traffic_sign_head.npy")
        print(f"Pictures and TensorBoard's file: {paths.shown(self.folder)}\n")

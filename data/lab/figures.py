"""Figures of a training run, drawn with Pillow."""
import io
import textwrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data.lab.paths import atomic_write

CELL = 18  # pixels, of the confusion matrix
CLASSES = 50  # that it shows at most
RIGHT, WRONG = (30, 120, 30), (180, 30, 30)  # colours of a full cell
SIDE = 96  # pixels of a picture in a figure


def confusion_matrix(labels, predictions, classes):
    """int (classes, classes): row = the true class, column = the predicted one."""
    pairs = np.bincount(labels * classes + predictions, minlength=classes**2)
    return pairs.reshape(classes, classes)


def recalls(matrix):
    """(classes,): the share of each class that is found, NaN for an empty one."""
    totals = matrix.sum(axis=1)
    return np.where(totals > 0, np.diag(matrix) / np.maximum(totals, 1), np.nan)


def draw_confusion(matrix, names):
    """A PIL picture of the confusion matrix, each row in per cent of its true class.

    Of more than CLASSES classes it shows those of lowest recall.
    """
    shown = np.sort(np.argsort(recalls(matrix), kind="stable")[:CLASSES])
    percent = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    percent = percent[np.ix_(shown, shown)]
    font = ImageFont.load_default(12)
    names = [f"{names[i][:60]} {i}" for i in shown]
    legend = "rows: true class\ncolumns: predicted class\nnumbers: % of the row"
    margin = int(max(130, *(font.getlength(name) for name in names))) + 12
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
    draw.multiline_text((8, 8), legend, "black", font, spacing=6)
    digits = ImageFont.load_default(9)
    for row, column in np.ndindex(percent.shape):
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


def find_mistakes(labels, probs, tracks=None, count=15):
    """Indices of the mistakes that the head is most confident of, one of each track."""
    (wrong,) = np.nonzero(probs.argmax(axis=1) != labels)
    wrong = wrong[np.argsort(-probs[wrong].max(axis=1), kind="stable")]
    if tracks is not None:
        wrong = wrong[np.sort(np.unique(tracks[wrong], return_index=True)[1])]
    return wrong[:count]


def draw_mistakes(images, labels, probs, names):
    """A PIL picture of mistakes with both names.

    images: uint8 (n, size, size, 3); labels: int (n,); probs: (n, classes).
    """
    font = ImageFont.load_default(12)
    picture = Image.new("RGB", (480, (SIDE + 8) * max(len(images), 1)), "white")
    for i, (image, label, p) in enumerate(zip(images, labels, probs)):
        y = (SIDE + 8) * i
        picture.paste(Image.fromarray(image).resize((SIDE, SIDE)), (4, y + 4))
        text = f"it is: {names[label]}\nanswer: {names[p.argmax()]}\nprobability: {p.max():.3f}"
        draw = ImageDraw.Draw(picture)
        draw.multiline_text((SIDE + 16, y + 24), text, "black", font, spacing=6)
    return picture


def write(path, picture):
    """Write `picture` as a PNG file; returns its bytes."""
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    with atomic_write(path) as target:
        target.write(file.getvalue())
    return file.getvalue()


def draw_curves(history, best, head):
    """A PIL picture of the losses and of the accuracy over the epochs.

    history: (training loss, validation loss, validation accuracy) of each epoch; best: the
    number of the best one, from 1, or None; head: how many trained the head, before finetuning.
    """
    width, height, left, top = 560, 200, 60, 40
    picture = Image.new("RGB", (left + width + 30, 2 * (top + height) + 50), "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(12)
    values = np.array(history)  # (epochs, 3)
    epochs = np.arange(1, len(values) + 1)
    panels = [("loss", values[:, :2], (("training", WRONG), ("validation", (30, 80, 180)))),
              ("validation accuracy", values[:, 2:], (("", RIGHT),))]
    for number, (title, columns, lines) in enumerate(panels):
        y0 = top + number * (top + height)
        high = max(columns.max() * 1.05, 1e-9) if number == 0 else 1
        across = left + width * (epochs - 0.5) / len(epochs)
        draw.text((left, y0 - 8), title, "black", font, anchor="ls")
        for share in (0, 0.25, 0.5, 0.75, 1):
            y = y0 + height * (1 - share)
            draw.line((left, y, left + width, y), (225, 225, 225))
            draw.text((left - 6, y), f"{high * share:.3g}", "black", font, anchor="rm")
        marks = [(across[best - 1], f"best: {best}")] if best else []
        if 0 < head < len(epochs):
            marks.append((left + width * head / len(epochs), "finetuning"))
        for x, text in marks:
            draw.line((x, y0, x, y0 + height), (170, 170, 170))
            draw.text((x + 4, y0 + height - 4), text, "black", font, anchor="ls")
        for i, (name, colour) in enumerate(lines):
            points = np.stack([across, y0 + height * (1 - columns[:, i] / high)], axis=1)
            draw.line([*points.ravel().tolist()], colour, 2)
            for x, y in points:
                draw.ellipse((x - 3, y - 3, x + 3, y + 3), colour)
            draw.text((left + width - 90 * i, y0 - 8), name, colour, font, anchor="rs")
    for epoch in np.unique(np.linspace(1, len(epochs), min(len(epochs), 10)).round().astype(int)):
        draw.text((across[epoch - 1], y0 + height + 8), str(epoch), "black", font, anchor="ma")
    draw.text((left + width / 2, y0 + height + 24), "epoch", "black", font, anchor="ma")
    return picture


def find_neighbours(rows, queries, others, count=5, block=1024):
    """The `count` of `others` whose features are nearest to each of `queries`, by cosine.

    rows: a function, indices (n,) -> features (n, 4096); queries (q,), others (n,): indices.
    Returns indices, (q, count), the nearest first. The others are read in blocks.
    """

    def directions(indices):
        features = rows(indices)
        return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)

    wanted = directions(queries)
    best, cosines = np.empty((len(queries), 0), int), np.empty((len(queries), 0))
    for start in range(0, len(others), block):
        part = others[start:start + block]
        best = np.concatenate([best, np.tile(part, (len(queries), 1))], axis=1)
        cosines = np.concatenate([cosines, wanted @ directions(part).T], axis=1)
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
        best, cosines = (np.take_along_axis(a, order, axis=1) for a in (best, cosines))
    return best


def draw_neighbours(data, queries, neighbours):
    """A PIL picture: a row for each of `queries`, its image and then its neighbours' images.

    Names stand under them, in green where the class is that of the row's first image.
    """
    font = ImageFont.load_default(10)
    cell, line = SIDE + 24, 13
    height = SIDE + 3 * line + 12
    rows = [[query, *near] for query, near in zip(queries, neighbours)]
    picture = Image.new("RGB", (cell * len(rows[0]) + 12, height * len(rows)), "white")
    draw = ImageDraw.Draw(picture)
    for row, indices in enumerate(rows):
        for column, (index, image) in enumerate(zip(indices, data.images[np.array(indices)])):
            x, y = cell * column + (12 if column else 0), height * row + 4
            picture.paste(Image.fromarray(image).resize((SIDE, SIDE)), (x + 12, y))
            label = data.labels[index]
            colour = RIGHT if label == data.labels[indices[0]] else WRONG
            text = "\n".join(textwrap.wrap(data.names[label], 20)[:3])
            draw.multiline_text((x + cell / 2, y + SIDE + 2), text, colour if column else "black",
                                font, anchor="ma", align="center", spacing=1)
    return picture

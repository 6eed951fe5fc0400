"""Figures of a training run, drawn with Pillow."""
import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

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


def png(picture):
    """`picture` as the bytes of a PNG file."""
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()

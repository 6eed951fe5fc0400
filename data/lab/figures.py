"""Figures of a training run, drawn with Pillow."""
import io
import textwrap
import unicodedata

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.spatial.distance import cdist

from data.lab.command import printable
from data.lab.paths import atomic_write

FONT = ImageFont.load_default(12)  # draws ASCII only
ASCII = str.maketrans({"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "ø": "o", "Ø": "O",
                       "ł": "l"})
RIGHT, WRONG, BLUE = (30, 120, 30), (180, 30, 30), (30, 80, 180)
CELL = 18  # pixels of a cell of the confusion matrix
CLASSES = 50  # shown in the confusion matrix, at most
SIDE = 96  # pixels of an image in a figure
BLOCK = 1024  # images whose features are in memory at once


def label(number, name, width=60):
    """A class's number and the start of its name, in ASCII, in lines of `width` letters."""
    letters = unicodedata.normalize("NFKD", printable(name).translate(ASCII))
    letters = "".join(c for c in letters if not unicodedata.combining(c))  # without accents
    return textwrap.fill(f"{number} {letters.encode('ascii', 'replace').decode()}"[:60], width)


def write(path, picture):
    """Write `picture` as a PNG file; returns its bytes."""
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    with atomic_write(path) as target:
        target.write(file.getvalue())
    return file.getvalue()


def grid(images, columns, side, captions=None, colours=None, width=None):
    """A PIL image of `images` in rows of `columns`, each side x side pixels above its caption.

    images: uint8 (height, width) or (height, width, 3) each; captions, colours: of each one;
    width: of a column in pixels; what is longer is cut off.
    """
    captions, colours = captions or [""] * len(images), colours or ["black"] * len(images)
    lines = max(caption.count("\n") + bool(caption) for caption in captions)
    width, height = width or side + 2, side + 2 + 16 * lines
    rows = -(-len(images) // columns)
    picture = Image.new("RGB", (columns * width + 2, rows * height + 2), "white")
    for i, (image, caption, colour) in enumerate(zip(images, captions, colours)):
        cell = Image.new("RGB", (width, height), "white")
        cell.paste(Image.fromarray(image).resize((side, side), Image.Resampling.BOX))
        ImageDraw.Draw(cell).text((0, side + 2), caption, colour, FONT, spacing=2)
        picture.paste(cell, (i % columns * width + 2, i // columns * height + 2))
    return picture


def confusion_matrix(labels, predictions, classes):
    """int (classes, classes): row = the true class, column = the predicted one."""
    pairs = np.bincount(labels * classes + predictions, minlength=classes**2)
    return pairs.reshape(classes, classes)


def recalls(matrix):
    """(classes,): the fraction of each class classified correctly, NaN for an empty class."""
    totals = matrix.sum(axis=1)
    return np.where(totals > 0, np.diag(matrix) / np.maximum(totals, 1), np.nan)


def draw_confusion(matrix, names):
    """A PIL image of the confusion matrix, each row in per cent of its true class.

    Of more than CLASSES classes it shows those of lowest recall.
    """
    shown = np.sort(np.argsort(recalls(matrix), kind="stable")[:CLASSES])
    percent = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    texts = [label(i, names[i]) for i in shown]
    margin, side = int(max(130, *map(FONT.getlength, texts))) + 12, CELL * len(shown)
    picture = Image.new("RGB", (margin + side + 8,) * 2, "white")
    for x, anchor, turn, corner in (margin - 6, "rm", 0, (0, margin)), (6, "lm", 90, (margin, 0)):
        strip = Image.new("RGB", (margin, side), "white")
        for i, text in enumerate(texts):
            ImageDraw.Draw(strip).text((x, CELL * (i + 0.5)), text, "black", FONT, anchor)
        picture.paste(strip.rotate(turn, expand=True), corner)
    draw, digits = ImageDraw.Draw(picture), ImageFont.load_default(9)
    draw.text((8, 8), "rows: true class\ncolumns: predicted class\nnumbers: % of the row", "black",
              FONT, spacing=6)
    for (row, column), share in np.ndenumerate(percent[np.ix_(shown, shown)]):
        x, y = margin + CELL * column, margin + CELL * row
        shade = np.sqrt(share / 100)  # the root keeps rare confusions visible
        full = np.array(RIGHT if row == column else WRONG)
        colour = tuple((255 - (255 - full) * shade).astype(int).tolist())
        draw.rectangle((x, y, x + CELL, y + CELL), colour, (225, 225, 225))
        if share > 0.5:  # else it would be printed as 0
            ink = "white" if shade > 0.6 else "black"
            draw.text((x + CELL / 2, y + CELL / 2), f"{share:.0f}", ink, digits, "mm")
    return picture


def one_of_each(tracks, indices, count):
    """The first `count` of `indices`, at most one of each track."""
    return indices[np.sort(np.unique(tracks[indices], return_index=True)[1])[:count]]


def find_mistakes(labels, probs, tracks, count=15):
    """Indices of the mistakes that the head is most confident of, one of each track."""
    (wrong,) = np.nonzero(probs.argmax(axis=1) != labels)
    wrong = wrong[np.argsort(-probs[wrong].max(axis=1), kind="stable")]
    return one_of_each(tracks, wrong, count)


def draw_mistakes(images, labels, probs, names):
    """A PIL image of mistakes with both names and the numbers of their files.

    images: uint8 (n, size, size, 3), at least one; labels: int (n,); probs: (n, classes).
    """
    captions = [f"mistakes/{i}.png\ntrue: {label(c, names[c], 24)}\n"
                f"prediction: {label(p.argmax(), names[p.argmax()], 24)}\n"
                f"probability: {p.max():.3f}"
                for i, (c, p) in enumerate(zip(labels, probs), 1)]
    return grid(images, min(5, len(images)), SIDE, captions, width=200)


def round_step(high):
    """The least of ..., 0.1, 0.2, 0.5, 1, 2, 5, ... of which five reach `high`."""
    unit = 10.0 ** np.floor(np.log10(high))
    return unit * next(factor for factor in (0.2, 0.5, 1, 2) if high <= 5 * factor * unit)


def draw_curves(history, best):
    """A PIL image of the losses and of the accuracies over the epochs.

    history: of each epoch, loss and accuracy of training, then of validation; best: the number
    of the best epoch, from 1, which is marked.
    """
    width, height, left = 560, 200, 60
    picture = Image.new("RGB", (left + width + 30, 2 * height + 130), "white")
    draw = ImageDraw.Draw(picture)
    across = left + width * (np.arange(len(history)) + 0.5) / len(history)
    names = "training loss", "training accuracy", "validation loss", "validation accuracy"
    lines = [*zip(names, (WRONG, WRONG, BLUE, BLUE), np.transpose(history))]
    for bottom, panel in (height + 40, lines[::2]), (2 * height + 80, lines[1::2]):
        high = max(values.max() for *_, values in panel) or 1
        ticks = round_step(high) * np.arange(np.ceil(high / round_step(high)) + 1)
        for y, tick in zip(bottom - height * ticks / ticks[-1], ticks):
            draw.line((left, y, left + width, y), (225, 225, 225))
            draw.text((left - 6, y), f"{tick:g}", "black", FONT, "rm")
        draw.line((across[best - 1], bottom - height, across[best - 1], bottom), (150, 150, 150))
        for i, (name, colour, values) in enumerate(panel):
            draw.text((left + 140 * i, bottom - height - 8), name, colour, FONT, "ls")
            points = [*zip(across, bottom - height * values / ticks[-1])]
            draw.line(points, colour, 2)
            for x, y in points:
                draw.ellipse((x - 3, y - 3, x + 3, y + 3), colour)
    step = max(1, round(round_step(len(history))))
    for epoch in range(step, len(history) + 1, step):
        draw.text((across[epoch - 1], bottom + 8), str(epoch), "black", FONT, "ma")
    draw.text((left + width / 2, bottom + 24), f"epoch (best: {best})", "black", FONT, "ma")
    return picture


def find_neighbours(rows, queries, others, tracks, count=5):
    """The `count` of `others` whose features are most similar to those of each of `queries`.

    rows: a function, indices (n,) -> features (n, 4096); queries (q,), others (n,): indices;
    tracks: int (N,). Returns indices, (q, count), by cosine, one of each track at most.
    """
    wanted = rows(queries)
    distances = np.concatenate([cdist(wanted, rows(others[i:i + BLOCK]), "cosine")
                                for i in range(0, len(others), BLOCK)], axis=1)
    order = np.argsort(distances, kind="stable")  # NaN, of features that are all 0, is last
    return np.array([one_of_each(tracks, near, count) for near in others[order]])


def draw_neighbours(data, queries, predictions, neighbours):
    """A PIL image: a row for each of `queries`, its image and then its neighbours' images.

    Under each stands its class, under the first also the prediction. The text is green if the
    prediction, or the class of the neighbour, is the class of the first, else red.
    """
    captions, colours = [], []
    for query, prediction, near in zip(queries, predictions, neighbours):
        true, *others = data.labels[[query, *near]]
        predicted = textwrap.fill(f"prediction: {label(prediction, data.names[prediction])}", 22)
        captions.append(f"{label(true, data.names[true], 22)}\n{predicted}")
        captions += [label(c, data.names[c], 22) for c in others]
        colours += [RIGHT if c == true else WRONG for c in (prediction, *others)]
    images = data.images[np.column_stack([queries, neighbours]).ravel()]
    return grid(images, len(neighbours[0]) + 1, SIDE, captions, colours, width=150)

"""German traffic signs, drawn: a synthetic stand-in for the GTSRB data set.

A sign is a plate with a pictogram on it; both are lists of drawing primitives, and a
primitive is a tuple (kind, colour, detail, points) with points = (x, y, x, y, ...) in
percent of the plate's side, y downwards.
"""
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, map_coordinates

WHITE, BLACK, GREY = (245, 245, 245), (20, 20, 20), (125, 125, 125)
RED, BLUE, YELLOW, GREEN = (205, 20, 30), (10, 80, 185), (250, 175, 10), (0, 150, 70)
CREAM, APRICOT, BROWN = (250, 240, 220), (235, 190, 140), (140, 80, 40)
SKY, FIELD = (175, 205, 235), (130, 155, 95)

FRAMES = 30  # frames in a track
SIDE = 32  # pixels along the side of a stored image


# ---- drawing primitives -----------------------------------------------------------------

def line(colour, width, *points):
    return "line", colour, width, points


def polygon(colour, *points):
    return "polygon", colour, 0, points


def text(colour, string, left, top, right, bottom):
    return "text", colour, string, (left, top, right, bottom)


def circle(x, y, rx, ry, start=0, end=360):
    """Points of an ellipse, or of its part between two angles in degrees, clockwise."""
    angles = np.radians(np.linspace(start, end, 1 + abs(end - start) // 10))
    points = np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1)
    return tuple(points.ravel().tolist())


def disc(colour, x, y, rx, ry=None):
    return polygon(colour, *circle(x, y, rx, ry or rx))


def arrow(colour, width, *points):
    """Line through the points; a triangular head is centred on the last one."""
    x0, y0, x, y = points[-4:]
    length = math.hypot(x - x0, y - y0)
    dx, dy = 1.3 * width * (x - x0) / length, 1.3 * width * (y - y0) / length
    head = (x + dx, y + dy, x - dx - dy, y - dy + dx, x - dx + dy, y - dy - dx)
    return [line(colour, width, *points), polygon(colour, *head)]


def place(primitives, dx=0, dy=0, scale=1, turn=0):
    """Scale and turn (degrees, clockwise) about the plate's centre, then shift."""
    cos, sin = scale * math.cos(math.radians(turn)), scale * math.sin(math.radians(turn))
    placed = []
    for kind, colour, detail, points in primitives:
        x, y = np.array(points[::2]) - 50, np.array(points[1::2]) - 50
        moved = np.stack([50 + dx + cos * x - sin * y, 50 + dy + sin * x + cos * y], axis=1)
        detail = detail * scale if kind == "line" else detail
        placed.append((kind, colour, detail, tuple(moved.ravel().tolist())))
    return placed


def mirror(primitives):
    """Swap left and right."""
    return [(kind, colour, detail, tuple(v if i % 2 else 100 - v for i, v in enumerate(points)))
            for kind, colour, detail, points in primitives]


def draw(primitives, size):
    """Draw on a transparent square: (size, size, 4) uint8 RGBA, anti-aliased."""
    image = Image.new("RGBA", (4 * size, 4 * size))
    pen = ImageDraw.Draw(image)
    unit = 4 * size / 100
    for kind, colour, detail, points in primitives:
        points = [unit * v for v in points]
        if kind == "line":
            pen.line(points, colour, round(unit * detail), joint="curve")
        elif kind == "polygon":
            pen.polygon(points, colour)
        else:
            draw_text(image, colour, detail, [round(v) for v in points])
    return np.asarray(image.reduce(4))


def draw_text(image, colour, string, box):
    """Stretch bold text so that its ink fills the box (left, top, right, bottom)."""
    font = ImageFont.load_default(160)
    left, top, right, bottom = font.getbbox(string, stroke_width=5)
    ink = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(ink).text((-left, -top), string, 255, font, stroke_width=5)
    ink = ink.resize((box[2] - box[0], box[3] - box[1]))
    image.paste(colour, (box[0], box[1]), ink)


# ---- plates, pictograms, signs ----------------------------------------------------------

OUTLINE = (50, 6, 96, 88, 4, 88, 50, 6, 96, 88)  # one side twice: every corner is a joint
PROHIBITION = [disc(RED, 50, 50, 50), disc(WHITE, 50, 50, 38)]
WARNING = [polygon(RED, *OUTLINE), line(RED, 7, *OUTLINE), polygon(WHITE, 50, 21, 83, 81, 17, 81)]
MANDATORY = [disc(WHITE, 50, 50, 50), disc(BLUE, 50, 50, 47)]
END = [disc(GREY, 50, 50, 50), disc(WHITE, 50, 50, 47)]


def car(colour):
    """A car from behind, in the middle of the plate."""
    return [polygon(colour, 40, 40, 60, 40, 65, 50, 35, 50),
            polygon(colour, 33, 48, 67, 48, 67, 61, 33, 61),
            polygon(colour, 35, 61, 42, 61, 42, 67, 35, 67),
            polygon(colour, 58, 61, 65, 61, 65, 67, 58, 67),
            polygon(WHITE, 42, 43, 58, 43, 61, 49, 39, 49)]


def lorry(colour):
    """A lorry from behind, in the middle of the plate."""
    return [polygon(colour, 34, 31, 66, 31, 66, 61, 34, 61),
            polygon(colour, 36, 61, 43, 61, 43, 68, 36, 68),
            polygon(colour, 57, 61, 64, 61, 64, 68, 57, 68)]


def pair(left, right):
    """Two vehicles side by side."""
    return place(left, -17, 0, 0.9) + place(right, 17, 0, 0.8)


BARS = [line(BLACK, 1.6, 17 + d, 83 + d, 83 + d, 17 + d) for d in (-4.4, -2.2, 0, 2.2, 4.4)]

WALKER = [disc(BLACK, 50, 36, 4.5), polygon(BLACK, 46, 42, 54, 42, 54, 60, 46, 60),
          line(BLACK, 4, 49, 43, 41, 50, 40, 58), line(BLACK, 4, 52, 43, 58, 51, 62, 54),
          line(BLACK, 5, 49, 58, 46, 68, 39, 78), line(BLACK, 5, 51, 58, 57, 67, 59, 79)]

CURVE_LEFT = arrow(BLACK, 7.5, 61, 78, 61, 64, 57, 58, 51, 56, 43, 56)
TURN_LEFT = arrow(WHITE, 11, 62, 80, 62, 50, 57, 42, 48, 39, 38, 39)
AHEAD = arrow(WHITE, 12, 50, 82, 50, 32)
AHEAD_OR_LEFT = (arrow(WHITE, 10, 58, 84, 58, 27)
                 + arrow(WHITE, 10, 58, 74, 54, 66, 46, 62, 30, 62))

SIGNS = [  # plate and pictogram of each class, in the order of gtsrb_classes.txt
    *[PROHIBITION + [text(BLACK, number, 25, 31, 75, 69)]
      for number in ("20", "30", "50", "60", "70", "80")],
    END + [text(GREY, "80", 17, 27, 83, 73)] + BARS,
    *[PROHIBITION + [text(BLACK, number, 18, 33, 82, 67)] for number in ("100", "120")],
    PROHIBITION + pair(car(RED), car(BLACK)),
    PROHIBITION + pair(lorry(RED), car(BLACK)),
    WARNING + [  # right-of-way
        polygon(BLACK, 50, 32, 58, 46, 54, 46, 56, 77, 44, 77, 46, 46, 42, 46),
        line(BLACK, 5, 35, 60, 65, 60)],
    [polygon(GREY, 50, 0, 100, 50, 50, 100, 0, 50),  # priority road
     polygon(WHITE, 50, 2, 98, 50, 50, 98, 2, 50),
     polygon(YELLOW, 50, 20, 80, 50, 50, 80, 20, 50)],
    place(WARNING, turn=180),  # yield
    [polygon(WHITE, 29, 0, 71, 0, 100, 29, 100, 71, 71, 100, 29, 100, 0, 71, 0, 29),
     polygon(RED, 31, 4, 69, 4, 96, 31, 96, 69, 69, 96, 31, 96, 4, 69, 4, 31),
     text(WHITE, "STOP", 11, 33, 89, 67)],
    PROHIBITION,  # no vehicles
    PROHIBITION + [  # no lorries
        polygon(BLACK, 40, 36, 79, 36, 79, 58, 40, 58),
        polygon(BLACK, 25, 43, 38, 43, 38, 60, 21, 60, 21, 52),
        polygon(WHITE, 27, 46, 33, 46, 33, 52, 24, 52),
        polygon(BLACK, 21, 57, 79, 57, 79, 61, 21, 61),
        disc(BLACK, 31, 62, 5.5), disc(BLACK, 65, 62, 5.5)],
    [disc(WHITE, 50, 50, 50), disc(RED, 50, 50, 48),  # no entry
     polygon(WHITE, 12, 40, 88, 40, 88, 60, 12, 60)],
    WARNING + [polygon(BLACK, 45, 36, 55, 36, 52.5, 63, 47.5, 63), disc(BLACK, 50, 71, 4.5)],
    WARNING + CURVE_LEFT,
    WARNING + mirror(CURVE_LEFT),
    WARNING + arrow(BLACK, 7, 57, 79, 57, 64, 45, 61, 45, 46),  # double curve
    WARNING + [  # bumps
        polygon(BLACK, 27, 71, 73, 71, 73, 76, 27, 76),
        disc(BLACK, 39, 71, 9, 8), disc(BLACK, 61, 71, 9, 8)],
    WARNING + place(car(BLACK), 1, 2, 0.85, 14) + [  # slippery
        line(BLACK, 3.5, 38, 64, 42, 68, 36, 73, 39, 80),
        line(BLACK, 3.5, 58, 67, 62, 71, 56, 75, 59, 80)],
    WARNING + [  # narrows on the right
        line(BLACK, 6, 41, 78, 41, 44), line(BLACK, 6, 62, 78, 62, 66, 53, 56, 53, 44)],
    WARNING + [  # road work
        disc(BLACK, 50, 36, 4.5), line(BLACK, 9, 47, 41, 39, 56),
        line(BLACK, 5, 39, 54, 45, 65, 42, 79), line(BLACK, 5, 38, 54, 32, 66, 26, 78),
        line(BLACK, 4, 48, 43, 55, 54, 48, 59), line(BLACK, 3, 42, 54, 64, 70),
        polygon(BLACK, 54, 79, 62, 69, 68, 66, 77, 79)],
    WARNING + [disc(RED, 50, 42, 6.5), disc(YELLOW, 50, 57, 6.5), disc(GREEN, 50, 72, 6.5)],
    WARNING + WALKER,
    WARNING + place(WALKER, -9, 4, 0.95) + place(mirror(WALKER), 11, 10, 0.75) + [  # children
        line(BLACK, 3, 45, 53, 57, 58)],
    WARNING + [  # bicycle
        line(BLACK, 3, *circle(37, 68, 9.5, 9.5)), line(BLACK, 3, *circle(63, 68, 9.5, 9.5)),
        line(BLACK, 3, 37, 68, 45, 56, 59, 56, 50, 68, 37, 68),
        line(BLACK, 3, 50, 68, 43, 50), line(BLACK, 3, 39, 50, 47, 50),
        line(BLACK, 3, 63, 68, 58, 50, 63, 47)],
    WARNING + [part for turn in range(0, 360, 60) for part in place(  # snow
        [line(BLACK, 3.5, 50, 50, 50, 31), line(BLACK, 3, 44, 33, 50, 40, 56, 33)],
        dy=10, turn=turn)],
    WARNING + [  # deer
        polygon(BLACK, 36, 54, 44, 54, 66, 60, 69, 66, 62, 69, 44, 66, 38, 62),
        line(BLACK, 6, 41, 59, 37, 47), line(BLACK, 5, 40, 47, 31, 50),
        line(BLACK, 2.5, 38, 46, 41, 40, 40, 35), line(BLACK, 2.5, 41, 41, 47, 38),
        line(BLACK, 3.5, 41, 62, 32, 66, 27, 73), line(BLACK, 3.5, 44, 63, 38, 71, 34, 76),
        line(BLACK, 3.5, 62, 65, 66, 73, 73, 78), line(BLACK, 3.5, 66, 62, 72, 70, 77, 73)],
    END + BARS,
    MANDATORY + mirror(TURN_LEFT),
    MANDATORY + TURN_LEFT,
    MANDATORY + AHEAD,
    MANDATORY + mirror(AHEAD_OR_LEFT),
    MANDATORY + AHEAD_OR_LEFT,
    MANDATORY + place(AHEAD, turn=135),
    MANDATORY + place(AHEAD, turn=-135),
    MANDATORY + [part for turn in (0, 120, 240) for part in place(  # roundabout
        arrow(WHITE, 9, *circle(50, 50, 29, 29, 70, -10)), turn=turn)],
    END + place(pair(car(GREY), car(GREY)), scale=1.25) + BARS,
    END + place(pair(lorry(GREY), car(GREY)), scale=1.25) + BARS,
]


def draw_sign(class_id, size):
    """Draw one sign, its plate filling the square.

    class_id: 0..42; size: pixels along the side.
    Returns (size, size, 4) uint8 RGBA, transparent outside the plate.
    """
    return draw(SIGNS[class_id], size)


# ---- the data set -----------------------------------------------------------------------

MATERIALS = [  # dark colour, light colour, grain in pixels down and across
    ((195, 200, 210), (255, 255, 255), (25, 25)),  # overcast sky
    ((70, 125, 215), (175, 205, 245), (20, 20)),  # blue sky
    ((8, 20, 5), (95, 120, 50), (2, 2)),  # foliage
    ((45, 25, 5), (215, 150, 60), (2, 2)),  # autumn leaves
    ((25, 20, 20), (215, 220, 230), (5, 1.3)),  # bare branches before the sky
    ((20, 18, 15), (90, 80, 65), (8, 1.5)),  # tree trunks
    ((85, 35, 30), (180, 110, 85), (1.5, 5)),  # bricks
    ((140, 130, 115), (215, 205, 190), (10, 10)),  # plaster
    ((35, 40, 50), (190, 185, 175), (5, 4)),  # house front with windows
    ((10, 10, 14), (55, 55, 62), (8, 8)),  # shade
]


def noise_field(rng, grain):
    """Smooth noise (128, 128) of mean 0 and variance 1."""
    field = gaussian_filter(rng.standard_normal((128, 128)), grain, mode="wrap", truncate=3)
    return (field - field.mean()) / field.std()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def make_background(rng):
    """Two materials side by side or above each other: (128, 128, 3), 0..1."""
    layers = []
    for material in rng.choice(len(MATERIALS), 2, replace=False):
        dark, light, grain = MATERIALS[material]
        light_share = sigmoid(3 * noise_field(rng, grain))[..., None]
        layers.append((np.array(dark) * (1 - light_share) + np.array(light) * light_share) / 255)
    border = sigmoid(15 * noise_field(rng, (10, 14)))[..., None]
    return layers[0] * border + layers[1] * (1 - border)


def wander(rng, middle, spread, drift):
    """(FRAMES,) values: a level within middle +- spread, plus a slow swing of +- drift."""
    t = np.linspace(0, 1, FRAMES)
    swing = np.sin(2 * np.pi * (rng.uniform(0.3, 1) * t + rng.uniform()))
    return rng.uniform(middle - spread, middle + spread) + drift * swing


def make_frames(rng):
    """Where the sign lies while the camera drives up to it.

    Returns sizes (FRAMES, 2), width and height of the frames in pixels, whole numbers,
    and boxes (FRAMES, 4), x1, y1, x2, y2 of the sign in them, in pixels, with fractions.
    """
    far = rng.uniform(26, 42)
    near = far * rng.uniform(1.6, 5.5)
    # the size goes with 1 / distance, and the distance shrinks evenly
    width = 1 / np.linspace(1 / far, 1 / near, FRAMES)
    aspect = wander(rng, 1, 0.04, 0.01)
    sizes = np.stack([width, width * aspect], axis=1).round().clip(25, 243)
    margin = np.maximum(5, 0.09 * width)[:, None]
    shift = 0.15 * margin * np.stack([wander(rng, 0, 1, 1), wander(rng, 0, 1, 1)], axis=1)
    return sizes, np.concatenate([margin + shift, sizes - margin + shift], axis=1)


def warp(image, x, y):
    """Sample an image (h, w, channels) at pixel positions x, y (FRAMES, SIDE, SIDE)."""
    return np.stack([map_coordinates(channel, [y, x], order=1, mode="constant")
                     for channel in np.moveaxis(image, 2, 0)], axis=-1)


def project_sign(rng, class_id, sizes, boxes):
    """See the sign and its pole through the camera: (FRAMES, SIDE, SIDE, 4), 0..1.

    The colours are premultiplied by the last channel, the opacity.
    """
    canvas = np.zeros((128, 128, 4))
    if rng.random() < 0.6:
        canvas[64:, 61:67] = np.array([0.4, 0.4, 0.4, 1])
    plate = draw_sign(class_id, 64) / 255
    plate[..., :3] *= plate[..., 3:]
    canvas[32:96, 32:96] = plate + canvas[32:96, 32:96] * (1 - plate[..., 3:])
    canvas = gaussian_filter(canvas, (1, 1, 0))  # a stored pixel covers 2.5 canvas pixels

    # image pixels in units of the sign's half side, seen from its centre
    grid = (np.arange(SIDE) + 0.5) / SIDE
    low, high = boxes[:, :2] / sizes, boxes[:, 2:] / sizes  # (FRAMES, 2), in 0..1
    relative = (2 * grid - (low + high)[..., None]) / (high - low)[..., None]
    x, y = relative[:, 0, None, :], relative[:, 1, :, None]

    tilt = np.radians(wander(rng, 0, 7, 2))[:, None, None]
    yaw, pitch = wander(rng, 0, 0.15, 0.04), wander(rng, 0, 0.08, 0.03)
    u, v = x * np.cos(tilt) + y * np.sin(tilt), y * np.cos(tilt) - x * np.sin(tilt)
    depth = 1 + yaw[:, None, None] * u + pitch[:, None, None] * v
    squeeze = 1 + np.abs(yaw)[:, None, None]
    return warp(canvas, 63.5 + 32 * u * squeeze / depth, 63.5 + 32 * v / depth)


def project_background(rng, sizes):
    """The same frames without the sign: (FRAMES, SIDE, SIDE, 3), 0..1."""
    grid = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    # a nearer sign covers more of what is behind it: the frame sees more background
    window = 5 * np.sqrt(sizes)[..., None]
    x = 63.5 + wander(rng, 0, 25, 6)[:, None, None] + (window[:, :1] * grid)
    y = 63.5 + wander(rng, 0, 25, 6)[:, None, None] + (window[:, 1:] * grid).swapaxes(1, 2)
    x, y = np.broadcast_arrays(x, y)
    return warp(make_background(rng), x, y)


def light(rng, sign, background):
    """Put the sign before the background, in the light of the day: values around 0..1."""
    backlight = np.exp(wander(rng, 0.1, 0.8, 0.15))[:, None, None, None]
    images = sign[..., :3] + (1 - sign[..., 3:]) * background * backlight

    # an edge of shade, soft or hard, moves over the frame
    across, down = np.meshgrid(*[np.linspace(-1, 1, SIDE)] * 2)
    angle = rng.uniform(0, 2 * np.pi)
    edge = across * np.cos(angle) + down * np.sin(angle) - wander(rng, 0, 1, 0.4)[:, None, None]
    depth = rng.uniform(0, 0.8) * rng.random()
    images = images * (1 - depth * sigmoid(rng.uniform(1, 8) * edge))[..., None]

    haze = 0.5 * rng.random() ** 3
    images = (1 - haze) * images + haze * (rng.uniform(0.3, 0.8) + rng.normal(0, 0.05, 3))
    exposure = np.minimum(rng.normal(-0.65, 0.75), 0.4) + wander(rng, 0, 0.1, 0.2)
    cast = rng.normal(0, 0.07, 3)
    return images * np.exp(exposure[:, None] + cast)[:, None, None, :]


def blur(rng, images):
    """Defocus, stronger far away, and the car's shaking."""
    far = 0.5 * np.linspace(1, 0, FRAMES)
    defocus = wander(rng, 0.3, 0.3, 0.15) + far * rng.random()
    shake = rng.exponential(0.3, 2) * np.abs(wander(rng, 0, 0.5, 1))[:, None]  # (FRAMES, 2)
    return np.stack([gaussian_filter(image, (*sigma, 0), truncate=3)
                     for image, sigma in zip(images, np.maximum(defocus, 0)[:, None] + shake)])


def make_track(class_id, rng):
    """30 frames of one physical sign while the camera approaches it.

    Returns features (30, 32, 32, 3) uint8, sizes (30, 2) uint16, coords (30, 4) uint16.
    """
    sizes, boxes = make_frames(rng)
    sign = project_sign(rng, class_id, sizes, boxes)
    images = blur(rng, light(rng, sign, project_background(rng, sizes)))
    images = images + rng.uniform(0, 0.012) * rng.standard_normal(images.shape)
    features = (255 * images.clip(0, 1)).round().astype(np.uint8)
    return features, sizes.astype(np.uint16), boxes.round().astype(np.uint16)


def make_dataset(tracks_per_class=4, seed=0):
    """Draw a data set of the schema of GTSRB's train.p, the same for the same seed.

    Returns a dict of arrays with N = 43 * tracks_per_class * 30 rows, sorted by class,
    and inside a class by track of 30 frames:
    features: uint8 (N, 32, 32, 3), RGB, 0..255
    labels: uint8 (N,), 0..42
    sizes: uint16 (N, 2), width and height of the original frame, in pixels, 25..243
    coords: uint16 (N, 4), x1, y1, x2, y2 of the sign in the original frame, in pixels
    """
    classes = np.repeat(np.arange(len(SIGNS), dtype=np.uint8), tracks_per_class)
    # a generator of its own for each track: more tracks do not change the first ones
    tracks = [make_track(class_id, np.random.default_rng([seed, class_id, i % tracks_per_class]))
              for i, class_id in enumerate(classes)]
    features, sizes, coords = (np.concatenate(parts) for parts in zip(*tracks))
    return {"features": features, "labels": np.repeat(classes, FRAMES),
            "sizes": sizes, "coords": coords}


# ---- pictures ---------------------------------------------------------------------------

LANDSCAPE = [polygon(SKY, 0, 0, 100, 0, 100, 100, 0, 100),
             polygon(FIELD, 0, 70, 100, 60, 100, 100, 0, 100)]

POODLE = [
    line(CREAM, 5, 74, 55, 84, 40), disc(CREAM, 85, 37, 7),
    *[line(APRICOT, 5, x, 60, x, 90) for x in (38, 46, 66, 73)],
    *[disc(CREAM, x, 84, 6) for x in (38, 47, 65, 74)],
    disc(APRICOT, 57, 60, 19, 11), disc(CREAM, 42, 56, 15),
    line(APRICOT, 11, 36, 50, 32, 30), line(APRICOT, 8, 32, 33, 14, 36), disc(BLACK, 14, 35, 3),
    *[disc(CREAM, x, y, 8) for x, y in ((26, 18), (35, 14), (42, 20), (33, 22))],
    *[disc(CREAM, 41, y, 7) for y in (28, 36, 43)], disc(BLACK, 26, 29, 2),
]

WEASEL = [
    line(BROWN, 5, 78, 72, 90, 70, 97, 60), line(BLACK, 5, 93, 65.5, 98, 58.5),
    *[line(BROWN, 5, x, 74, x - 5, 88) for x in (41, 47, 75, 81)],
    line(BROWN, 15, 28, 38, 28, 50, 32, 61, 40, 69, 51, 72, 66, 70, 78, 73),
    disc(BROWN, 78, 73, 7.5),
    line(CREAM, 6, 25, 42, 25, 51, 29, 62, 36, 69),
    disc(BROWN, 31, 27, 3.5), disc(BROWN, 26, 27, 3),
    disc(BROWN, 26, 35, 10, 8), polygon(BROWN, 24, 27.5, 10, 37, 14, 41, 24, 43),
    polygon(CREAM, 11, 39, 24, 39, 28, 44, 20, 44),
    disc(BLACK, 10.5, 37.5, 2), disc(BLACK, 21, 33, 1.6),
]


def make_picture(primitives, size):
    """Draw before a blurred landscape: (size, size, 4) uint8 RGBA, opaque."""
    landscape = gaussian_filter(draw(LANDSCAPE, size), (size / 12, size / 12, 0))
    picture = Image.fromarray(landscape)
    picture.alpha_composite(Image.fromarray(draw(primitives, size)))
    return np.array(picture)


def make_pictures():
    """Pictures to try the classifiers on: a dict of file name -> uint8 array.

    construction.jpg (Road work) and stop.jpg (Stop): (32, 32, 3) RGB;
    poodle.png and weasel.png: (227, 227, 4) RGBA, alpha 255.
    """
    return {
        "construction.jpg": make_picture(place(SIGNS[25], scale=0.85), 32)[..., :3],
        "stop.jpg": make_picture(place(SIGNS[14], scale=0.85), 32)[..., :3],
        "poodle.png": make_picture(POODLE, 227),
        "weasel.png": make_picture(WEASEL, 227),
    }

"""Synthetic traffic signs with the schema of the GTSRB data set.

The 43 signs are in signs.png. A camera drives up to each one, in its own place and light.
"""
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

FRAMES = 30  # frames in a track
SIDE = 32  # pixels along the side of a stored image
# RGBA, one below the other in the file; transparent outside the plate, which fills the square
SIGNS = np.asarray(Image.open(Path(__file__).with_name("signs.png"))).reshape(43, 64, 64, 4)
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

    Returns sizes (FRAMES, 2), width and height of the frames in pixels, integers,
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
    plate = SIGNS[class_id] / 255
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
    """Make a data set with the schema of GTSRB's train.p, the same for the same seed.

    Returns a dict of arrays with N = 43 * tracks_per_class * 30 rows, sorted by class,
    and inside a class by track of 30 frames:
    features: uint8 (N, 32, 32, 3), RGB, 0..255
    labels: uint8 (N,), 0..42
    sizes: uint16 (N, 2), width and height of the original frame, in pixels, 25..243
    coords: uint16 (N, 4), x1, y1, x2, y2 of the sign in the original frame, in pixels
    """
    classes = np.repeat(np.arange(len(SIGNS), dtype=np.uint8), tracks_per_class)
    # A separate generator for each track: more tracks do not change the first ones.
    tracks = [make_track(class_id, np.random.default_rng([seed, class_id, i % tracks_per_class]))
              for i, class_id in enumerate(classes)]
    features, sizes, coords = (np.concatenate(parts) for parts in zip(*tracks))
    return {"features": features, "labels": np.repeat(classes, FRAMES),
            "sizes": sizes, "coords": coords}

"""resize: the graph turns signs into AlexNet's input, with the sampling of the course."""
import contextlib
from types import SimpleNamespace

import numpy as np

from data.lab.tf1 import tf
from exercises import Wrong, expect, first_reason
from exercises.graphs import close, find_fault, make_images, upstream

NAMES = [("x", "resized")]
LINES = ["""
x = tf.placeholder(tf.float32, (None, size, size, 3))
resized = tf.image.resize_images(x, (227, 227))  # (N, 227, 227, 3)
"""]
FED = "it must accept any number of 32x32 RGB images"
ANY = "Any number of images must work: a single one, or a last, smaller batch."
RESHAPE = "[Rr]eshape"
HINTS = {
    "contains no shape|must have either 3 or 4|rank": f"The placeholder has no shape; {FED}.",
    "must feed a value": "AlexNet's input depends on a placeholder other than `x`.",
    RESHAPE: "tf.reshape only rearranges values; tf.image has functions that resize.",
}
HOW = {}, {"half_pixel_centers": True}, {"align_corners": True}
KERNELS = {  # "The images are sampled ..."
    "half a pixel off, as in TensorFlow 2; enlarged seven times, that is three pixels":
        lambda x: tf.image.resize_bilinear(x, (227, 227), half_pixel_centers=True),
    "so that the corners meet (align_corners), which stretches the image a little":
        lambda x: tf.image.resize_bilinear(x, (227, 227), align_corners=True),
    "at the nearest pixel, which gives blocks of 7x7 with edges that are not in the sign":
        lambda x: [tf.image.resize_nearest_neighbor(x, (227, 227), **how) for how in HOW],
    "with a bicubic kernel, which overshoots at edges":
        lambda x: [tf.image.resize_bicubic(x, (227, 227), **how) for how in HOW],
    "as means of areas": lambda x: tf.image.resize_area(x, (227, 227)),
}
FAULTS = {  # of images p (n, height, width, 3), before or after resizing
    "Height and width are swapped: every sign lies on its side, but the shape is the same":
        lambda p: [q[:, ::i, ::j] for q in [p.swapaxes(1, 2)] for i in (1, -1) for j in (1, -1)],
    "The images are upside down": lambda p: [p[:, ::-1], p[:, ::-1, ::-1]],
    "Left and right are swapped: turn left becomes turn right": lambda p: [p[:, :, ::-1]],
    "The colours are in the order BGR: red signs become blue": lambda p: [p[..., ::-1]],
    "The images are grey: all three channels are the same": lambda p: [
        np.repeat(p @ np.array(mix)[:, None], 3, -1) for mix in ([1 / 3] * 3, [.2989, .587, .114])],
    "Negative values, about half of them, are lost: the mean is already subtracted":
        lambda p: [np.maximum(p, 0), np.clip(p, 0, 255), np.clip(p, 0, 1), abs(p)],
    "A mean is subtracted a second time": lambda p: [p - [123.68, 116.779, 103.939], *(
        p - p.mean(axis, keepdims=True) for axis in ((1, 2, 3), (1, 2), None))],
    "The contrast of each image is normalised": lambda p: [
        (p - p.mean((1, 2, 3), keepdims=True)) / p.std((1, 2, 3), keepdims=True)],
    "The values are rounded": lambda p: [np.round(p), np.trunc(p), np.floor(p)],
    "All images are copies of the first one": lambda p: [p[:1].repeat(3, 0)],
}


def run_lines(answer, size):
    return answer.run("resize", size=size, weights=SimpleNamespace(size=size))


def check_placeholder(x):
    shape = tuple(x.shape) if x.shape.rank is not None else ()
    expect(shape[1:3] != (227, 227), f"The placeholder has shape {x.shape}, so everyone who feeds "
           "images would have to resize them first, in the same way.")
    expect(len(shape) == 4 and all(a in (b, None) for a, b in zip(shape[1:], (32, 32, 3))),
           f"The placeholder has shape {x.shape}; {FED}.")
    expect(x.dtype in (tf.float32, tf.float64), f"The placeholder holds {x.dtype.name}, but "
           "must hold float32: without their mean, images contain fractions and negative values.")
    expect(shape[0] is None, f"The number of images is fixed at {shape[0]}. {ANY}")


def explain(found, right, kernels, images, enlarge):
    """Wrong, with what is done to the images instead of, or in addition to, resizing them."""
    if kernel := find_fault([found], {name: lambda _, values=values: values
                                      for name, values in kernels.items()}, [found]):
        return Wrong(f"The images are sampled {kernel}. The course and the training script use "
                     "TensorFlow 1's bilinear sampling.")
    if fault := find_fault([found], FAULTS, [right]) or find_fault([found], {
            name: lambda p, change=change: list(map(enlarge, change(p)))
            for name, change in FAULTS.items()}, [images]):
        return Wrong(f"{fault}.")
    scale, shift = np.polyfit(right.ravel()[::7], found.ravel()[::7], 1)
    if close(found, scale * right + shift):
        return Wrong(f"The values are changed: times {scale:.4g}, plus {shift:.3f}. Only the size "
                     "may change: AlexNet was trained on the original scale.")
    if not found[:, :20].any():
        return Wrong("The sign is padded with zeros, not enlarged.")
    return Wrong("The values are not those of the whole sign, enlarged in one step by bilinear "
                 "sampling. Nothing but the size may change; the mean is already subtracted.")


def check(answer):
    lines = run_lines(answer, 32)
    resized = tf.convert_to_tensor(lines["resized"])
    ops = upstream(resized)
    placeholders = [op.outputs[0] for op in ops if op.type.startswith("Placeholder")]
    expect(len(placeholders) == 1, f"AlexNet's input depends on {len(placeholders)} placeholders, "
           "but must depend on exactly one, to which the images are fed.")
    expect(not any("PyFunc" in op.type for op in ops), "A Python function resizes the images: "
           "it cannot be saved with the graph, and it blocks gradients.")
    (x,) = placeholders
    check_placeholder(x)
    images, x32 = make_images(3), tf.cast(x, tf.float32)
    bilinear = tf.image.resize_images(x32, (227, 227))
    kernels = {name: kernel(x32) for name, kernel in KERNELS.items()}
    with tf.Session() as sess:
        try:
            found, right, kernels = sess.run([resized, bilinear, kernels], {x: images})
            again = [sess.run(resized, {x: images}) for _ in range(5)]
            sess.run(resized, {x: images[:1]})
        except tf.errors.OpError as error:
            raise Wrong(f"Resizing three images, or one, fails: {first_reason(error)}. "
                        f"{HINTS[RESHAPE] if 'eshape' in str(error) else ''} {ANY}") from error
        expect(found.shape == (3, 227, 227, 3), f"Three images come out as {found.shape}. "
               "AlexNet was trained on (227, 227, 3); other sizes may run without an error but "
               "give wrong predictions.")
        expect(all(close(found, values) for values in again), "The same image comes out "
               "differently each time: nothing but its size may change.")
        if not close(found, right):
            raise explain(found, right, kernels, images, lambda p: sess.run(bilinear, {x: p}))
        sess.run(resized, {lines["x"]: images})  # as the script does
    with contextlib.suppress(Exception), tf.Graph().as_default(), tf.Session() as sess:
        lines = run_lines(answer, 48)
        sess.run(lines["resized"], {lines["x"]: np.zeros((3, 48, 48, 3))})
        return ""
    return "32 is hard-coded; use `size` so that heads for larger images work too"

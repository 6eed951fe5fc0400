"""AlexNet's forward pass in NumPy, written from the definitions, to check TensorFlow's."""
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def resize_bilinear(images, size):
    """Legacy bilinear sampling: output pixel i looks at input position i * in / out.

    images (N, H, W, C) -> (N, size, size, C). No half-pixel centres, no aligned corners.
    """
    for axis in (1, 2):
        length = images.shape[axis]
        position = np.arange(size) * (length / size)
        low = np.floor(position).astype(int)
        high = np.minimum(low + 1, length - 1)
        share = (position - low).reshape([-1 if a == axis else 1 for a in range(4)])
        images = images.take(low, axis) * (1 - share) + images.take(high, axis) * share
    return images


def conv(images, W, b, stride=1, groups=1):
    """Cross-correlation with zero padding such that the output is ceil(input / stride)."""
    height, width, depth, filters = W.shape
    pads = [(0, 0)]
    for length, kernel in zip(images.shape[1:3], (height, width)):
        needed = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        pads.append((needed // 2, needed - needed // 2))
    windows = sliding_window_view(np.pad(images, [*pads, (0, 0)]), (height, width), (1, 2))
    windows = windows[:, ::stride, ::stride]  # (N, H', W', C, height, width)
    share = filters // groups
    parts = [
        np.einsum("nijchw,hwcf->nijf", windows[:, :, :, g * depth:(g + 1) * depth],
                  W[..., g * share:(g + 1) * share], optimize=True)
        for g in range(groups)
    ]
    return np.concatenate(parts, axis=-1) + b


def relu(x):
    return np.maximum(x, 0)


def lrn(x, radius=2, alpha=2e-5, beta=0.75, bias=1.0):
    """x / (bias + alpha * sum of squares over the channels within `radius`) ** beta."""
    channels = x.shape[-1]
    squares = np.stack([
        (x[..., max(c - radius, 0):c + radius + 1] ** 2).sum(-1) for c in range(channels)
    ], axis=-1)
    return x / (bias + alpha * squares) ** beta


def max_pool(x):
    """The largest of each 3x3 window, stride 2, without padding."""
    return sliding_window_view(x, (3, 3), (1, 2))[:, ::2, ::2].max(axis=(-2, -1))


def alexnet(images, weights):
    """{layer: output} for images (N, 227, 227, 3) and weights {layer: [W, b]}."""
    out = {}
    out["conv1"] = relu(conv(images, *weights["conv1"], stride=4))
    out["norm1"] = lrn(out["conv1"])
    out["pool1"] = max_pool(out["norm1"])
    out["conv2"] = relu(conv(out["pool1"], *weights["conv2"], groups=2))
    out["norm2"] = lrn(out["conv2"])
    out["pool2"] = max_pool(out["norm2"])
    out["conv3"] = relu(conv(out["pool2"], *weights["conv3"]))
    out["conv4"] = relu(conv(out["conv3"], *weights["conv4"], groups=2))
    out["conv5"] = relu(conv(out["conv4"], *weights["conv5"], groups=2))
    out["pool5"] = max_pool(out["conv5"])
    flat = out["pool5"].reshape(len(images), -1)
    for name in ("fc6", "fc7"):
        W, b = weights[name]
        flat = out[name] = relu(flat @ W + b)
    W, b = weights["fc8"]
    out["fc8"] = flat @ W + b
    exponentials = np.exp(out["fc8"] - out["fc8"].max(axis=1, keepdims=True))
    out["probs"] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return out

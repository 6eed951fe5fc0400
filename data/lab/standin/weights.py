"""Synthetic weights: untrained, yet they tell traffic signs apart."""
import numpy as np

from data.lab.weights import SHAPES


def make_weights(seed=0):
    """{layer: [W, b]} of AlexNet's shapes: untrained, yet fc7 distinguishes traffic signs.

    Edges in conv1, random mixtures in conv2, fc6 and fc8, channels passed on elsewhere:
    each further random layer would cost accuracy. Biases are zero.
    """
    rng = np.random.default_rng(seed)

    def mix(inputs, units):
        # He-normal: the signal keeps its scale through layers with ReLU (He et al., 2015).
        # Of zero mean: inputs after ReLU share a large mean, which would drown the rest.
        W = rng.standard_normal((inputs, units), dtype=np.float32)
        return (W - W.mean(axis=0)) * np.float32(np.sqrt(2 / inputs))

    y, x = np.mgrid[-5:6, -5:6][..., np.newaxis]
    angle = 2.4 * np.arange(96)  # golden angle: neighbours, normalised together, differ
    edges = np.sin((x * np.cos(angle) + y * np.sin(angle)) * np.pi / 6)
    edges *= np.exp(-(x**2 + y**2) / 18)
    edges *= np.sqrt(2 / 363) / edges.std(axis=(0, 1))  # (11, 11, 96)
    kernels = {"conv1": np.repeat(edges[:, :, np.newaxis], 3, axis=2)}
    kernels["conv2"] = mix(5 * 5 * 48, 256).reshape(SHAPES["conv2"])
    for name, groups in ("conv3", 1), ("conv4", 2), ("conv5", 2):
        *_, inputs, units = SHAPES[name]
        source = np.linspace(0, inputs - 1, units // groups).round().astype(int)
        kernels[name] = np.zeros(SHAPES[name])
        kernels[name][1, 1, np.tile(source, groups), np.arange(units)] = 1
    unit = np.arange(4096)
    # Each unit of fc6 mixes the 256 channels of one of pool5's 6x6 places.
    fc6 = np.zeros((36, 256, 4096), np.float32)
    fc6[unit % 36, :, unit] = mix(256, 4096).T / 15  # fc7's mean comes near 1
    kernels["fc6"] = fc6.reshape(SHAPES["fc6"])
    kernels["fc7"] = np.eye(4096)
    kernels["fc8"] = mix(4096, 1000)
    return {
        name: [W.astype(np.float32, copy=False), np.zeros(W.shape[-1], np.float32)]
        for name, W in kernels.items()
    }

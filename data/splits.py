"""Which images train the head and which ones judge it.

GTSRB's frames come in tracks: 30 frames of one physical sign, taken while the car
approaches. Frames of one track look alike; with some of them in training and others in
validation, the validation measures memory. An honest split keeps tracks whole.
"""
import numpy as np

TRACK = 30  # frames, in GTSRB


def find_tracks(features, labels):
    """The number of each image's track, int (N,), or None where the order shows none.

    features: uint8 (N, 32, 32, 3); labels: int (N,). The images of a class must stand
    together, in whole tracks of 30 frames; one track of each such run may be shorter
    (GTSRB's class 33 has one of 29). Where it is, the pictures tell: they change more from
    track to track than inside one.
    """
    small = features[:, ::2, ::2, 1].reshape(len(features), -1).astype(np.int16)
    small -= small.mean(axis=1, keepdims=True).astype(np.int16)
    jump = np.r_[0, np.abs(np.diff(small, axis=0)).mean(axis=1)]  # (N,), to the image before

    run_starts = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
    starts = []  # of the tracks
    for start, stop in zip(run_starts, np.r_[run_starts[1:], len(labels)]):
        whole = np.arange(start, stop, TRACK)
        # The short track may be the last or any other: those behind it begin earlier.
        short = -(stop - start) % TRACK
        shifted = [np.where(whole > before, whole - short, whole) for before in whole]
        starts.extend(max(shifted, key=lambda candidate: jump[candidate[1:]].sum()))
    is_start = np.isin(np.arange(len(labels)), starts)
    between = is_start & ~np.isin(np.arange(len(labels)), run_starts)

    enough = len(starts) <= 2 * len(labels) / TRACK and between.any()
    if not enough or np.median(jump[between]) < 1.5 * np.median(jump[~is_start]):
        return None
    return np.cumsum(is_start) - 1


def first_tracks(tracks, labels, limit):
    """Indices of the first `limit` tracks of each class; without tracks, of 30 * limit images."""
    chosen = []
    for label in np.unique(labels):
        (members,) = np.nonzero(labels == label)
        if tracks is None:
            chosen.append(members[:limit * TRACK])
        else:
            chosen.append(members[np.isin(tracks[members], np.unique(tracks[members])[:limit])])
    return np.concatenate(chosen)


def split_by_track(tracks, labels, fraction, rng):
    """(training indices, validation indices): about `fraction` of each class's tracks validate.

    At least one track of a class trains it; a class of a single track is not validated.
    """
    validates = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        own = np.unique(tracks[labels == label])
        count = min(max(round(fraction * len(own)), 1), len(own) - 1)
        validates |= np.isin(tracks, rng.permutation(own)[:count])
    return np.flatnonzero(~validates), np.flatnonzero(validates)


def split_at_random(labels, fraction, rng):
    """(training indices, validation indices), the course's way: image by image."""
    order = rng.permutation(len(labels))
    count = round(fraction * len(labels))
    return np.sort(order[count:]), np.sort(order[:count])

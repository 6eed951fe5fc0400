"""Convert open downloads to the lab's files; damaged ones can raise anything."""
import csv
import io
import pickle
import re
import zipfile

import numpy as np
from google.protobuf.empty_pb2 import Empty
from google.protobuf.unknown_fields import UnknownFieldSet
from PIL import Image

from data.lab.batches import batches
from data.lab.weights import SHAPES

# Limits of what an archive may hold: entries, of which Kaggle's GTSRB has about 104,000; a table
# or an image, in bytes and pixels; train.p or test.p, in bytes.
ENTRIES, SMALL, LARGE = 200_000, 1_000_000, 120_000_000
POOL5 = (6, 6, 256)  # height, width, channels: the inputs of fc6
FIELDS = {  # what arrays are called; numbers of protobuf fields: messages, their name, their data
    "onnx": (["{}_w_0", "{}_b_0"], [((7, 5), 8, (9,), (4,))]),  # raw_data or float_data
    "caffe": (["{}"], [((2,), 4, (6, 5)), ((100,), 1, (7, 5))]),  # layers of the old form, the new
    "graph": (["{}/weights", "{}/biases"], [((1,), 1, (5, 2, 8, 4))])}
# What TensorSpace's shards hold, in this order and without gaps: a layer and a number of floats.
# The biases come last in each layer. Weights in two pieces are two groups; "" are integers.
SHARDS = (
    ("conv5", 3 * 3 * 192 * 128), ("conv4", 3 * 3 * 192 * 192), ("conv2", 5 * 5 * 48 * 128),
    ("conv1", 11 * 11 * 3 * 96), ("conv1", 96), ("conv2", 5 * 5 * 48 * 128), ("conv2", 256),
    ("conv3", 3 * 3 * 256 * 384), ("conv3", 384), ("conv4", 3 * 3 * 192 * 192), ("conv4", 384),
    ("conv5", 3 * 3 * 192 * 128), ("", 1), ("conv5", 256), ("", 2), ("fc6", 9216 * 4096),
    ("fc6", 4096), ("fc7", 4096 * 4096), ("fc7", 4096), ("fc8", 4096 * 1000), ("fc8", 1000))


def copy(out, file):
    out.write(file.read())


def write_weights(out, arrays, caffe=False):
    """Write a weights file of arrays[layer], which are W and b, float32 of any shape.

    Their order: W (height, width, channels, units) or (inputs, units), pool5 flattened by row,
    column, channel; if `caffe`, (units, channels, height, width) or (units, inputs), by channel,
    row, column. The channels of conv1 stay BGR.
    """
    layers = {}
    for name, (*inputs, _) in SHAPES.items():
        W, b = (np.frombuffer(array, "<f4") for array in arrays[name])
        if caffe:
            *kernel, channels = POOL5 if name == "fc6" else (1, 1, *inputs)[-3:]
            W = W.reshape(len(b), channels, *kernel).transpose(2, 3, 1, 0)
        layers[name] = [np.ascontiguousarray(W).reshape(*inputs, len(b)), b]
    np.save(out, layers)


def values(messages, *path):
    """Return the fields path[0] of protobuf messages; or the fields path[1] of these, and so on."""
    for number in path:  # in an empty message, every field is an unknown one
        messages = [field.data for message in messages
                    for field in UnknownFieldSet(Empty.FromString(message))
                    if field.field_number == number]
    return messages


def from_protobuf(out, kind, file):
    """Write the weights of a model; kind: onnx, caffe, or graph, a frozen TensorFlow graph."""
    patterns, places = FIELDS[kind]
    stored = {}
    for messages, name, *data in places:
        file.seek(0)
        for message in values([file.read()], *messages):
            stored.setdefault(values([message], name)[0].decode(), []).extend(
                array for path in data for array in values([message], *path))
    write_weights(out, {layer: sum((stored[pattern.format(layer)] for pattern in patterns), [])
                        for layer in SHAPES}, caffe=kind != "graph")


def from_shards(out, *shards):
    """Write the weights of TensorSpace's TensorFlow.js model."""
    floats = np.frombuffer(b"".join(shard.read() for shard in shards), "<f4")
    arrays = {}
    for name, size in SHARDS:
        arrays.setdefault(name, []).append(floats[:size])
        floats = floats[size:]
    for name in SHAPES:
        *parts, b = arrays[name]
        arrays[name] = np.hstack([part.reshape(-1, len(b) // len(parts)) for part in parts]), b
    write_weights(out, arrays)


def from_compressed(out, file):
    """Write the weights of Deep Compression's AlexNet, pruned and quantised, in Caffe's order.

    The file has the number of stored weights of each layer; then, layer by layer, a codebook,
    the biases, and for each stored weight its code and the number of weights of code 0 before it.
    """
    def read(count, dtype="u1"):
        return np.frombuffer(file.read(count * np.dtype(dtype).itemsize), dtype, count)

    def read_halves(count):  # of bytes, the low half first
        stored = read((count + 1) // 2)
        return np.stack([stored & 15, stored >> 4], axis=1).reshape(-1)[:count]

    arrays = {}
    for (name, (*inputs, units)), count in zip(SHAPES.items(), read(len(SHAPES), "<u4").tolist()):
        dense = name.startswith("fc")
        codebook, b = read(16 if dense else 256, "<f4"), read(units or 1000, "<f4")
        codes = read_halves(count) if dense else read(count)
        W = np.zeros(np.prod(inputs) * len(b), np.uint8)
        W[np.cumsum(read_halves(count) + 1) - 1] = codes
        arrays[name] = codebook[W], b
    write_weights(out, arrays, caffe=True)


def members(file, pattern, limit=SMALL):
    """Yield name and content, at most `limit` bytes, of a zip archive's members, sorted."""
    file.seek(0)
    # Each entry of the table of contents begins with these bytes, and takes 1 KB of memory.
    if sum(part.count(b"PK\1\2") for part in iter(lambda: file.read(1 << 20), b"")) > ENTRIES:
        raise ValueError("its table of contents is absurdly large")
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if re.search(pattern, name)]
        names.sort(key=lambda name: (len(name), name))  # Kaggle's folder 10 comes after folder 2
        for (name,) in batches(names, 1):
            info = archive.getinfo(name)
            # Of other compressions zipfile reads as much as comes.
            if info.file_size > limit or info.compress_type > zipfile.ZIP_DEFLATED:
                raise ValueError(f"its member {name} is absurdly large")
            yield name, archive.open(info).read(limit)


def from_course_zip(out, name, file):
    """Copy the member `name`, in whichever folder it lies."""
    ((_, content),) = members(file, f"(^|/){name}$", LARGE)
    out.write(content)


def from_gtsrb(out, folder, images, tables=None):
    """Pickle features and labels as in train.p, each image resized whole, in order of the names.

    The classes are in a table in the archive `tables` or `images`, else they name the folders.
    """
    classes, features, labels = {}, [], []
    for _, content in members(tables or images, r"(^|/)(GT-final_test|Test)\.csv$"):
        table = content.decode()
        for row in csv.DictReader(table.splitlines(), delimiter=";" if ";" in table else ","):
            classes[(row.get("Filename") or row["Path"]).split("/")[-1]] = row["ClassId"]
    for name, content in members(images, rf"{folder}.*\.(ppm|png)$"):
        with Image.open(io.BytesIO(content), formats=["PPM", "PNG"]) as image:
            if image.width * image.height > SMALL:
                raise ValueError(f"its member {name} is absurdly large")
            image = image.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
        features.append(np.asarray(image))
        labels.append(int(classes.get(name.split("/")[-1], name.split("/")[-2])))
    pickle.dump({"features": np.array(features), "labels": np.array(labels, np.uint8)}, out, 4)

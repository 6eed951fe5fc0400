"""How sources.csv's downloads become the lab's files; a damaged one can raise anything."""
import io
import pickle
import zipfile

import numpy as np
from google.protobuf import descriptor_pb2, message_factory
from PIL import Image

from data.lab.batches import batches
from data.lab.weights import SHAPES

# Limits of what an archive may hold: its table of contents, where GTSRB has up to 5 million bytes;
# a table or a picture, in bytes and pixels; train.p or test.p.
CONTENTS, SMALL, LARGE = 10_000_000, 1_000_000, 120_000_000
POOL5 = (6, 6, 256)  # height, width, channels: what fc6 sees
# What is needed of onnx.proto and caffe.proto: message: {field: (number, message)}. On the wire a
# single value is a list of one, and a packed list of floats is bytes, which take least memory.
FIELDS = {
    "Model": {"graph": (7, "Graph")},
    "Graph": {"initializer": (5, "Tensor")},
    "Tensor": {"float_data": (4, "bytes"), "name": (8, "bytes"), "raw_data": (9, "bytes")},
    "Net": {"layers": (2, "V1Layer"), "layer": (100, "Layer")},
    "V1Layer": {"name": (4, "bytes"), "blobs": (6, "Blob")},
    "Layer": {"name": (1, "bytes"), "blobs": (7, "Blob")},
    "Blob": {"data": (5, "bytes")},
}
proto = descriptor_pb2.FileDescriptorProto(name="lab")
for message, fields in FIELDS.items():
    add = proto.message_type.add(name=message).field.add
    for name, (number, kind) in fields.items():
        kind = {"type": "TYPE_BYTES"} if kind == "bytes" else {"type_name": f".{kind}"}
        add(name=name, number=number, label="LABEL_REPEATED", **kind)
messages = message_factory.GetMessages([proto])


def copy(out, path):
    out.write(path.read_bytes())


def write_weights(out, arrays):
    """Write a weights file of arrays[layer]: W and b, each a list of pieces, float32 as bytes.

    They are in the order of Caffe and ONNX: W (units, channels, height, width) or (units, inputs),
    pool5 flattened by channel, row, column. Written are (height, width, channels, units) or
    (inputs, units), pool5 flattened by row, column, channel. conv1's channels stay BGR.
    """
    layers = {}
    for name, (*inputs, _) in SHAPES.items():
        W, b = (np.frombuffer(b"".join(pieces), "<f4") for pieces in arrays[name])
        *kernel, channels = POOL5 if name == "fc6" else (1, 1, *inputs)[-3:]
        W = W.reshape(len(b), channels, *kernel).transpose(2, 3, 1, 0)
        layers[name] = [np.ascontiguousarray(W).reshape(*inputs, len(b)), b]
    np.save(out, layers)


def from_onnx(out, path):
    """Write the weights of an ONNX model whose initializers are conv1_w_0 to fc8_b_0."""
    (graph,) = messages["Model"].FromString(path.read_bytes()).graph
    pieces = {t.name[0].decode(): t.raw_data or t.float_data for t in graph.initializer}
    write_weights(out, {name: [pieces[f"{name}_{part}_0"] for part in "wb"] for name in SHAPES})


def from_caffemodel(out, path):
    """Write the weights of a Caffe model, whose layers may be of the old form (V1)."""
    net = messages["Net"].FromString(path.read_bytes())
    layers = (*net.layers, *net.layer)
    write_weights(out, {layer.name[0].decode(): [x.data for x in layer.blobs] for layer in layers})


def open_zip(path):
    with open(path, "rb") as file:
        end = zipfile._EndRecData(file)  # which ZipFile reads before the table of contents
    if end and end[zipfile._ECD_SIZE] > CONTENTS:
        raise ValueError("its table of contents is absurdly large")
    return zipfile.ZipFile(path)


def read_member(archive, name, limit=SMALL):
    """The bytes of one member of a zip archive, at most `limit`; nothing is written to a path."""
    info = archive.getinfo(name)
    if info.file_size > limit or info.compress_type > zipfile.ZIP_DEFLATED:  # others know no limit
        raise ValueError(f"its member {name} is absurdly large")
    with archive.open(info) as member:
        return member.read(limit)


def from_course_zip(out, name, path):
    """Copy the member `name`, in whichever folder it lies."""
    with open_zip(path) as archive:
        found = (member for member in archive.namelist() if member.split("/")[-1] == name)
        out.write(read_member(archive, next(found, name), LARGE))


def from_gtsrb(out, images, annotations=None):
    """Pickle features and labels as in train.p, each frame resized whole, in order of the names.

    images: GTSRB's archive of PPM pictures, named by class, track and frame;
    annotations: that of the test pictures' classes
    """
    classes = {}
    if annotations:
        with open_zip(annotations) as archive:
            lines = read_member(archive, "GT-final_test.csv").decode().split()
        classes = {line.split(";")[0]: line.split(";")[-1] for line in lines}
    with open_zip(images) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".ppm"))
        features = np.empty((len(names), 32, 32, 3), np.uint8)
        for (i,) in batches(range(len(names)), 1):
            content = io.BytesIO(read_member(archive, names[i]))
            with Image.open(content, formats=["PPM"]) as frame:
                if frame.width * frame.height > SMALL:
                    raise ValueError(f"its member {names[i]} is absurdly large")
                frame = frame.convert("RGB")
            features[i] = frame.resize((32, 32), Image.Resampling.BILINEAR)
    labels = [int(classes.get(name.split("/")[-1], name.split("/")[-2])) for name in names]
    pickle.dump({"features": features, "labels": np.array(labels, np.uint8)}, out, protocol=4)

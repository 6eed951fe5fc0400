"""freeze: fc7 of the frozen network, as the inference scripts compute it."""
from data.lab.tf1 import tf
from exercises import expect, graphs
from exercises.graphs import build, close, find_fault, make_images

NAMES = [("fc7",)]
LINES = ["fc7 = tf.stop_gradient(AlexNet(resized, feature_extract=True, weights=backbone))"]
HINTS = {
    "KeyError: .fc8": "Your code builds AlexNet with its last layer, fc8, but `backbone` has no "
                      "weights for fc8; your new layer replaces it. AlexNet's docstring explains "
                      "how to stop before it.",
    "AlexNet takes": "AlexNet does not get the resized images.",
    "multiple values|positional argument": "Pass AlexNet's weights by name: weights=backbone.",
}
FAULTS = {
    "It is fc7 before ReLU.": lambda layers: layers["raw"],
    "It is fc6.": lambda layers: layers["fc6"],
    "It is all zeros.": lambda layers: 0 * layers["fc7"],
    "Without weights=backbone, AlexNet loads bvlc-alexnet.npy, whatever file --weights names.":
        lambda layers: layers["default"],
}
WHY = "At inference, the head would get different features."


def check(answer):
    graph, sess = build(answer)
    known, named = len(tf.global_variables()), tf.get_default_graph().get_tensor_by_name
    with tf.name_scope("right"):
        resized = tf.image.resize_images(graph.images, (227, 227))
        fc7 = graphs.AlexNet(resized, feature_extract=True, weights=graphs.make_weights())
        layers = {"fc7": fc7, "raw": fc7.op.inputs[0], "fc6": named("right/fc6:0"),
                  "default": graphs.AlexNet(resized, feature_extract=True)}
    given = [op.outputs[0] for op in graphs.upstream(graph.fc7) if op.name.endswith("pixels")][:1]
    sess.run(tf.variables_initializer(tf.global_variables()[known:]))
    feed = {graph.images: make_images(3)}
    found, right, pixels = sess.run([graph.fc7, layers, [*given, named("right/pixels:0")]], feed)
    expect(close(found, sess.run(graph.fc7, feed)),
           f"fc7 is different each time it is computed, as with dropout or noise. {WHY}")
    expect(close(pixels[0], pixels[-1]), "AlexNet gets images that differ from `resized` in size, "
           f"scale, order or colours. {WHY}")
    expect(close(found, right["fc7"]), "fc7 differs from what the inference scripts compute for "
           f"the same image and weights. {find_fault([found], FAULTS, [right])} {WHY}")
    gradients = tf.gradients(graph.loss, graphs.backbone(graph))
    reached = sum(gradient is not None for gradient in gradients)
    expect(not reached, f"The loss still has gradients for {reached} of AlexNet's variables. An "
           "optimiser that minimises over all variables would damage the pretrained features and "
           "spend time on a backward pass through AlexNet.")
    return ""

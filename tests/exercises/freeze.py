"""freeze: fc7 of the frozen network, as the inference scripts compute it."""
from data.lab.tf1 import tf
from exercises import expect, graphs
from exercises.graphs import build, close, find_fault, make_images

NAMES = [("fc7",)]
LINES = ["fc7 = tf.stop_gradient(AlexNet(resized, feature_extract=True, weights=backbone))"]
HINTS = {
    "KeyError: .fc8": "AlexNet is asked for its last layer, fc8, which `backbone` does not hold: "
                      "yours takes its place. AlexNet's docstring says how to stop before it.",
    "AlexNet takes": "AlexNet is not given the resized images.",
    "multiple values|positional argument": "AlexNet's weights are passed by name: "
                                           "weights=backbone.",
}
FAULTS = {
    "It is fc7 before it is rectified.": lambda layers: layers["raw"],
    "It is fc6.": lambda layers: layers["fc6"],
    "It is all zeros.": lambda layers: 0 * layers["fc7"],
    "Without weights=backbone, AlexNet loads bvlc-alexnet.npy, whatever file --weights names.":
        lambda layers: layers["default"],
}
WHY = "The head would learn on features that it never meets in inference."


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
           f"fc7 differs each time that it is computed, as with dropout or noise. {WHY}")
    expect(close(pixels[0], pixels[-1]), "AlexNet is given other pictures than `resized`: of "
           f"another size, scale, order, or with other colours. {WHY}")
    expect(close(found, right["fc7"]), "fc7 is not what the inference scripts compute for the same "
           f"picture and weights. {find_fault([found], FAULTS, [right])} {WHY}")
    gradients = tf.gradients(graph.loss, graphs.backbone(graph))
    reached = sum(gradient is not None for gradient in gradients)
    expect(not reached, f"The loss still has gradients for {reached} of AlexNet's variables: they "
           "flow back past the new layer. Whoever minimises over all variables spoils the "
           "pretrained features, and pays for a backward pass through the network.")
    return ""

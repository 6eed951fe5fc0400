"""TensorFlow 1's interface, `tf`, in graph mode, with the lab's switches and no chatter.

The switches are read once, while TensorFlow is imported, so they are set here, first.
What the user has set in the environment stays: TF_CPP_MIN_LOG_LEVEL=0 brings the log back.
"""
import os

# oneDNN's kernels are the faster ones, but off by default on CPUs without AVX-512.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
    import tensorflow.compat.v1 as tf
else:
    # The level does not reach the lines that TensorFlow's libraries write while they are
    # loaded: for these, standard error itself is turned away.
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow.compat.v1 as tf
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)

tf.logging.set_verbosity(tf.logging.ERROR)
tf.disable_eager_execution()  # first describe the computation, then run it

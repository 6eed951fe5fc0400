"""TensorFlow 1's interface, `tf`, in graph mode, with the lab's switches.

TensorFlow reads the switches once, while it is imported, so they are set first. What the
user has set in the environment stays: TF_CPP_MIN_LOG_LEVEL=0 brings the log messages back.
"""
import os

# oneDNN's kernels are the faster ones, but off by default on CPUs without AVX-512.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # else it takes all of a GPU's memory

import tensorflow.compat.v1 as tf  # noqa: E402

tf.logging.set_verbosity(tf.logging.ERROR)
tf.disable_eager_execution()  # first describe the computation, then run it

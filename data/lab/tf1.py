"""TensorFlow 1's interface, `tf`, in graph mode, with the lab's switches and no chatter.

The switches are read once, while TensorFlow is imported, so they are set here, first.
What the user has set in the environment stays: TF_CPP_MIN_LOG_LEVEL=0 brings the log back.
"""
import os
import subprocess
import sys

# oneDNN's kernels are the faster ones, but off by default on CPUs without AVX-512.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# Prints what it is sent, unless that ends with a zero byte.
HOLD_BACK = """
import sys
held = sys.stdin.buffer.read()
if not held.endswith(b"\\0"):
    sys.stderr.buffer.write(held)
"""

if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
    import tensorflow.compat.v1 as tf
else:
    # The level does not reach the lines that TensorFlow's libraries write while they are
    # loaded. They go to a process of its own, which prints them should this one not
    # survive: on a CPU without AVX, TensorFlow says so and aborts.
    stderr = os.dup(2)
    holder = subprocess.Popen(
        [sys.executable, "-ISc", HOLD_BACK], stdin=subprocess.PIPE, start_new_session=True)
    os.dup2(holder.stdin.fileno(), 2)
    try:
        import tensorflow.compat.v1 as tf
        os.write(2, b"\0")
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        holder.communicate()

tf.logging.set_verbosity(tf.logging.ERROR)
tf.disable_eager_execution()  # first describe the computation, then run it

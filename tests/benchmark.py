"""Start-up of AlexNet: time from process start to the first output, and peak memory.

    python tests/benchmark.py

Our way against the naive one, in which each weight is a constant in the graph. Every run
is a process of its own; the two ways alternate, medians are printed.
"""
import statistics
import subprocess
import sys
import time
from pathlib import Path

LAB = Path(__file__).resolve().parent.parent
RUNS = 3

CHILD = """
import resource, sys, time
sys.path.insert(0, {lab!r})
import numpy as np
import alexnet
from alexnet import AlexNet
from data.tf1 import tf
imported = time.time()
if {naive}:
    alexnet.variable = lambda array, name: tf.Variable(array, name=name)
x = tf.placeholder(tf.float32, (None, 227, 227, 3))
probs = AlexNet(x)
sess = tf.Session()
sess.run(tf.global_variables_initializer())
sess.run(probs, feed_dict={{x: np.zeros((2, 227, 227, 3), np.float32)}})
done = time.time()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kB to GB, on Linux
print(done - float(sys.argv[1]), done - imported, peak)
"""


def measure(naive):
    """(seconds since the start, seconds since TensorFlow's import, peak GB) of one process."""
    code = CHILD.format(lab=str(LAB), naive=naive)
    command = [sys.executable, "-c", code, str(time.time())]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [float(number) for number in output.split()]


def main():
    measure(naive=False)  # makes the stand-in, and brings the files into memory
    runs = [(measure(naive=False), measure(naive=True)) for _ in range(RUNS)]
    print("| | ours | naive | naive / ours |")
    print("|---|---|---|---|")
    rows = "first output after process start, s", "... after the import, s", "peak memory, GB"
    for i, row in enumerate(rows):
        ours, naive = (statistics.median(run[way][i] for run in runs) for way in (0, 1))
        print(f"| {row} | {ours:.1f} | {naive:.1f} | {naive / ours:.1f} |")


if __name__ == "__main__":
    main()

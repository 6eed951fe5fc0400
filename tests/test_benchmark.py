"""The benchmark rejects bad input in one line, before the work."""
import pickle
import sys

import benchmark
import numpy as np
import pytest

from data.lab.command import LabError


def test_the_benchmark_checks_its_input_first(lab, run_main, monkeypatch):
    def run(labels, *arguments):
        signs = {"features": np.zeros((len(labels), 32, 32, 3), np.uint8), "labels": labels}
        (lab / "train.p").write_bytes(pickle.dumps(signs))
        run_main(benchmark, "--train", lab / "train.p", *arguments)

    monkeypatch.setattr(benchmark, "run", lambda *args: pytest.fail("the work has begun"))
    with pytest.raises(LabError, match="train.p: has 1 classes, but needs 2 to 1,000"):
        run(np.zeros(600, int))
    with pytest.raises(LabError, match="512 images have fewer than two of some class; use"):
        run(np.arange(2000) // 1998, "--images", 512, "--no-growth")
    (lab / "train_feature_extraction.py").write_text("# Exercise fc8\n...\n# End of fc8\n")
    with monkeypatch.context() as patch, pytest.raises(LabError, match="exercise fc8 is not done"):
        patch.setattr(benchmark, "LAB", lab)  # a student's copy
        run(np.arange(600) % 2)
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(LabError, match="module resource, missing on Windows"):
        run_main(benchmark)

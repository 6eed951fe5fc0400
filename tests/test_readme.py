"""The READMEs do not lie: commands run, outputs have the printed form, tables are computed."""
import json
import pickle
import re
import shlex
import shutil
import subprocess
import sys
from math import prod

import check
import numpy as np
import pytest
from conftest import LAB, copy_code
from markdown_it import MarkdownIt
from PIL import Image

from alexnet import AlexNet
from data.lab.gtsrb import TRACK
from data.lab.tf1 import tf
from data.lab.weights import SHAPES

READMES = {name: (LAB / name).read_text(encoding="utf-8")
           for name in ("README.md", "data/README.md", "tests/README.md")}
README = READMES["README.md"]
ELSEWHERE = (  # the commands that are not run here, and where they are
    "python3 -m venv", ". .venv", "pip install",  # .ci/run
    "python tests/benchmark.py",  # .ci/run, the quick one
    "python data/download.py",  # test_download.py, against a local server
    "python tests/check.py --", "python tests/check.py freeze",  # test_check.py
    "python -m pytest",  # this is it
    "python photos.py",  # Apache Beam, which the lab does not need
)


SYSTEM = "Illegal instruction", "Aborted", "I0000 ...", "WARNING: All log ..."  # not the lab's


def blocks(text):
    """[(kind, text)]: kind is command, output or python."""
    found = []
    for token in MarkdownIt().parse(text):
        if token.type == "fence" and token.info == "sh":
            found.append(("commands", re.sub(r"\\\n *", "", token.content)))
        elif token.type == "fence":
            found.append((token.info or "output", token.content))
        for child in token.children or []:
            if child.type == "code_inline" and child.content.startswith("python "):
                found.append(("inline command", child.content))
    return found


def split(text):
    """The commands in a line or block of lines."""
    return [command.strip() for command in re.split("&&|\n", text) if command.strip()]


BLOCKS = [block for text in READMES.values() for block in blocks(text)]
COMMANDS = list(dict.fromkeys(command for kind, text in BLOCKS if "command" in kind
                              for command in split(text)))


def form(output):
    """The lines of an output without its numbers and its classes' names."""
    text = re.sub(r"(?m)^.+: [01]\.\d{3}$", "NAME: N", output)
    text = re.sub(r"(?m)^(  [\d.]+ \([\d,]+ images?\) ).+$", r"\1NAME", text)
    text = re.sub(r"\d+(?:[.,]\d+)*", "N", text)
    return [line for line in text.splitlines() if line.strip(" .")]  # "..." is left out


DRIVER = """
import contextlib, io, json, runpy, sys
from data.lab.tf1 import tf

outputs = {}
sys.path.insert(0, "tests")  # as for the scripts there
for command in json.loads(sys.argv[1]):
    run = runpy.run_path
    sys.argv = list(command)
    if sys.argv[0] == "-m":
        run = runpy.run_module
        sys.argv = sys.argv[1:]
    output = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with tf.Graph().as_default(), contextlib.redirect_stdout(output):
        try:
            run(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            assert not end.code, (command, end.code)
    output.seek(0)
    outputs[" ".join(command)] = output.read()
json.dump(outputs, sys.stdout)
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory, standins, drawn):
    """{command: its output}, of all in the READMEs, run in order in a copy of the lab.

    Its training data are few: two tracks a class, of which every 15th frame is taken.
    """
    lab = tmp_path_factory.mktemp("readme")
    copy_code(lab)
    (lab / "data" / "standin").symlink_to(standins)
    images, labels = drawn
    few = {"features": images, "labels": labels, "tracks": np.arange(len(labels)) // TRACK}
    (lab / "train.p").write_bytes(pickle.dumps({key: a[::15] for key, a in few.items()}))
    (lab / "my_folder").mkdir()
    for name in ("dog.jpg", "my_folder/cat.png"):
        Image.new("RGB", (60, 40), "red").save(lab / name)
    commands = [shlex.split(c)[1:] for c in COMMANDS if not c.startswith(ELSEWHERE)]
    ran = subprocess.run([sys.executable, "-c", DRIVER, json.dumps(commands)], cwd=lab,
                         capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    yield json.loads(ran.stdout)
    shutil.rmtree(lab)  # it holds a network and checkpoints


def test_outputs_have_the_form_that_the_readme_shows(outputs):
    printed, compared = "", 0
    for kind, text in BLOCKS:
        if kind == "commands":
            ran = [" ".join(shlex.split(command)[1:]) for command in split(text)]
            printed = "".join(outputs.get(command, "") for command in ran)
        elif kind == "output" and printed:
            lines = iter(form(printed))
            missing = [line for line in form(text) if line not in lines]
            assert not missing, (ran, missing)
            compared += 1
    assert compared >= 4


def test_layer_table_is_the_graphs(graph):
    row = re.compile(r"(?m)^\| (\w+)(?: .*?)? \| ([\dx]+) \| *([\d,]*) *\| *([\d,]*) *\|$")
    rows = row.findall(READMES["tests/README.md"])
    shapes = {name: (*inputs, units or 1000) for name, (*inputs, units) in SHAPES.items()}
    weights = {name: [np.broadcast_to(np.float32(0), shape), np.zeros(shape[-1], np.float32)]
               for name, shape in shapes.items()}
    AlexNet(tf.placeholder(tf.float32, (1, 227, 227, 3)), weights=weights)
    costs, computed = 0, {}
    for op in graph.get_operations():  # in the order in which the layers are built
        if op.type == "Conv2D":
            kernel = op.inputs[1].shape.as_list()
            costs += prod(op.outputs[0].shape.as_list()) * prod(kernel[:3])
        elif op.type == "MatMul":
            costs += prod(op.inputs[1].shape.as_list())
        if re.fullmatch(r"(conv|norm|pool|fc)\d", op.name):
            own = [v for v in tf.global_variables() if v.op.name.startswith(op.name + "/")]
            parameters = sum(prod(v.shape.as_list()) for v in own)
            shape = "x".join(map(str, op.outputs[0].shape.as_list()[1:]))
            computed[op.name] = shape, parameters, costs
            costs = 0
    assert len(rows) == len(computed) == 13
    for name, shape, parameters, multiplies in rows:
        numbers = [int(cell.replace(",", "") or 0) for cell in (parameters, multiplies)]
        assert (shape, *numbers) == computed[name], name
    totals = [sum(row[i] for row in computed.values()) for i in (1, 2)]
    assert f"| total | | {totals[0]:,} | {totals[1]:,} |" in READMES["tests/README.md"]


def test_troubleshooting_quotes_what_the_lab_says():
    section = README[README.index("## Troubleshooting"):README.index("## For teachers")]
    messages = "".join(re.findall(r"(?m)^\| (.*?) \|", section))
    quotes = [quote for quote in re.findall("`(.+?)`", messages) if quote not in SYSTEM]
    assert len(quotes) >= 7
    source = "".join(path.read_text("utf-8") for path in LAB.glob("data/**/*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # a string over several lines
    assert [quote for quote in quotes if quote not in source] == []


def test_exercises_files_and_links_are_there():
    for name in check.EXERCISES:
        assert f"`{name}`" in README
    for path in LAB.glob("data/lab/*.py"):
        assert f"`{path.name}`" in READMES["data/README.md"] or path.name == "__init__.py"
    for name, text in READMES.items():
        text = re.sub(r"(?ms)^```.*?^```$", "", text)
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (LAB / name).parent.joinpath(target).exists(), target
        for target in re.findall(r"\]\(#([^)]+)\)", text):
            assert re.search(rf"(?im)^#+ {target.replace('-', ' ')}$", text), target

"""The READMEs do not lie: commands run, outputs have the printed form, tables are computed."""
import json
import re
import shlex
import shutil
import subprocess
import sys
from math import prod

import check
import numpy as np
import pytest
from conftest import LAB
from markdown_it import MarkdownIt
from PIL import Image

from alexnet import AlexNet
from data import download, signs
from data.files import find
from data.reading import SHAPES
from data.tf1 import tf

README = (LAB / "README.md").read_text(encoding="utf-8")
READMES = {"README.md": README, "data/README.md": (LAB / "data/README.md").read_text("utf-8")}
ELSEWHERE = (  # the commands that are not run here, and where they are
    "python3 -m venv",  # .ci/run
    "python tests/benchmark.py",  # .ci/run, the quick one
    "python data/download.py",  # below, on a table of files that are there
)


def blocks(text):
    """[(kind, text)]: kind is command, output or python."""
    found = []
    for token in MarkdownIt().parse(text):
        if token.type == "code_block":
            found += [("command", line) for line in token.content.splitlines()]
        elif token.type == "fence":
            found.append((token.info or "output", token.content))
        for child in token.children or []:
            if child.type == "code_inline" and child.content.startswith("python "):
                found.append(("inline command", child.content))
    return found


BLOCKS = [block for text in READMES.values() for block in blocks(text)]
COMMANDS = list(dict.fromkeys(text for kind, text in BLOCKS if kind.endswith("command")))


def form(output):
    """The lines of an output without its numbers and its classes' names."""
    text = re.sub(r"(?m)^.+: [01]\.\d{3}$", "NAME: N", output)
    text = re.sub(r"(?m)^(  [\d.]+ of [\d,]+ ).+$", r"\1NAME", text)
    text = re.sub(r"\d+(?:[.,]\d+)*", "N", text)
    return [line for line in text.splitlines() if line]


DRIVER = """
import contextlib, io, json, runpy, sys
import data.splits
from data.tf1 import tf

data.splits.TRACK = 3
outputs = {}
for script, *arguments in json.loads(sys.argv[1]):
    sys.argv = [script, *arguments]
    with tf.Graph().as_default(), contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            assert not end.code, (sys.argv, end.code)
    outputs[" ".join(sys.argv)] = output.getvalue()
json.dump(outputs, sys.stdout)
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """{command: its output}, of all in the READMEs, run in order in a copy of the lab.

    Its training data are few: two tracks a class, cut to three frames.
    """
    lab = tmp_path_factory.mktemp("readme")
    for path in [*LAB.glob("*.py"), *LAB.glob("data/*.py"), *LAB.glob("tests/*.py")]:
        (lab / path.relative_to(LAB)).parent.mkdir(exist_ok=True)
        shutil.copy(path, lab / path.relative_to(LAB))
    find("bvlc-alexnet.npy")
    (lab / "data" / "standin").symlink_to(LAB / "data" / "standin")
    for name in ("dog.jpg", "cat.png", "sign.jpg"):
        Image.new("RGB", (60, 40), "red").save(lab / name)
    dataset = signs.make_dataset(tracks_per_class=2)
    for i in range(0, len(dataset["labels"]), 10):
        folder = lab / "my_signs" / str(dataset["labels"][i])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(dataset["features"][i]).save(folder / f"{i:04}.png")
    (program,) = [text for kind, text in BLOCKS if kind == "python"]
    subprocess.run([sys.executable, "-c", program], cwd=lab, check=True)
    shutil.copy(lab / "my_signs.p", lab / "train.p")
    commands = [shlex.split(c)[1:] for c in COMMANDS if not c.startswith(ELSEWHERE)]
    ran = subprocess.run([sys.executable, "-c", DRIVER, json.dumps(commands)],
                         cwd=lab, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    yield json.loads(ran.stdout)
    shutil.rmtree(lab)  # it holds a network and checkpoints


def test_outputs_have_the_form_that_the_readme_shows(outputs):
    command, compared = None, 0
    for kind, text in BLOCKS:
        if kind == "command":
            command = " ".join(shlex.split(text)[1:])
        elif kind == "output" and command in outputs:
            lines = iter(form(outputs[command]))
            missing = [line for line in form(text) if line not in lines]
            assert not missing, (command, missing)
            compared += 1
    assert compared >= 9


def test_download_commands(monkeypatch, capsys):
    """On a table of the same files, all there: what is run is the command's arguments."""
    monkeypatch.setattr(download, "find_real", lambda name: LAB / "README.md")
    monkeypatch.setattr(download, "FILES", [
        file._replace(check=lambda path: None) for file in download.FILES])
    commands = [c for c in COMMANDS if c.startswith("python data/download.py")]
    commands += re.findall(r"`(--only \w+)`", README)
    assert len(commands) == 5
    ready = {}
    for command in commands:
        arguments = command.removeprefix("python data/download.py").split()
        monkeypatch.setattr(sys, "argv", ["download.py", *arguments])
        with pytest.raises(SystemExit) as end:
            download.main()
        assert end.value.code == 0
        ready[command] = capsys.readouterr().out
    assert ("output", ready["python data/download.py"]) in BLOCKS
    assert ready["--only weights"] == "bvlc-alexnet.npy: ready\n"


def test_layer_table_is_the_graphs(graph):
    row = re.compile(r"^\| (\w+)(.*?) \| ([\dx]+) \| *([\d,]*) *\| *([\d,]*) *\|$", re.MULTILINE)
    rows = row.findall(README)
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
        if re.fullmatch(r"(conv|pool|fc)\d", op.name):
            own = [v for v in tf.global_variables() if v.op.name.startswith(op.name + "/")]
            parameters = sum(prod(v.shape.as_list()) for v in own)
            shape = "x".join(map(str, op.outputs[0].shape.as_list()[1:]))
            computed[op.name] = shape, parameters, costs
            costs = 0
    assert len(rows) == len(computed) == 11
    for name, more, shape, parameters, multiplies in rows:
        name = more.removeprefix(", ") if name.startswith("norm") else name
        numbers = [int(cell.replace(",", "") or 0) for cell in (parameters, multiplies)]
        assert (shape, *numbers) == computed[name], name
    totals = [sum(row[i] for row in computed.values()) for i in (1, 2)]
    assert f"| total | | {totals[0]:,} | {totals[1]:,} |" in README


def test_troubleshooting_quotes_what_the_lab_says():
    section = README[README.index("## Troubleshooting"):README.index("## Results")]
    quotes = re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)
    assert len(quotes) >= 9
    paths = [*LAB.glob("*.py"), *LAB.glob("data/*.py")]
    source = "".join(path.read_text("utf-8") for path in paths)
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # a string over several lines
    assert [quote for quote in quotes if quote not in source] == []


def test_speed_has_the_rows_of_the_benchmark():
    section = README[README.index("## Speed"):README.index("## Credits")]
    rows = re.findall(r"^\| ([^|\n]*[a-z][^|\n]*) \|", section, re.MULTILINE)
    source = (LAB / "tests" / "benchmark.py").read_text("utf-8")
    assert len(rows) >= 10
    for row in rows:
        assert re.sub(r"[\d,]+(?= images)", "{count:,}", row, count=1) in source, row


def test_exercises_and_files_are_named():
    for name in check.EXERCISES:
        assert f"`{name}`" in README
    for path in LAB.glob("data/*.py"):
        assert f"`{path.name}`" in READMES["data/README.md"] or path.name == "__init__.py"
    for name, text in READMES.items():
        folder = (LAB / name).parent
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert (folder / target).exists(), target
        for target in re.findall(r"\]\(#([^)]+)\)", text):
            assert re.search(rf"(?im)^#+ {target.replace('-', ' ')}$", text), target

"""The inference scripts: what they print, and what they do with bad input."""
import re
import subprocess
import sys

import caffe_classes
import numpy as np
import pytest
from conftest import LAB
from PIL import Image

import imagenet_inference
import traffic_sign_inference
from data import files, signs, standin
from data.files import LabError
from data.reading import read_weights
from data.tf1 import tf

FORM = r"(Image {}\n(?:[^\n]+: [01]\.\d{{3}}\n){{5}}\n)"
TIME = r"Time: \d+\.\d{3} seconds\n"


def assert_form(output, names, heads=("0", "1")):
    """The lesson's form, to the letter; probabilities fall; names are of `names`."""
    assert re.fullmatch("".join(FORM.format(re.escape(head)) for head in heads) + TIME, output)
    lines = re.findall(r"^(.+): ([01]\.\d{3})$", output, re.MULTILINE)
    assert all(name in names for name, _ in lines)
    for i in range(len(heads)):
        probs = [float(prob) for _, prob in lines[5 * i:5 * i + 5]]
        assert probs == sorted(probs, reverse=True) and sum(probs) <= 1.003


@pytest.fixture(scope="module")
def weights_file(weights, tmp_path_factory):
    """A weights file of 1,000 classes, of random numbers."""
    path = tmp_path_factory.mktemp("weights") / "random.npy"
    np.save(path, weights)
    return path


@pytest.mark.parametrize("script", [imagenet_inference, traffic_sign_inference])
def test_lesson_output(run_main, weights_file, script):
    output = run_main(script, "--weights", weights_file)
    assert_form(output, caffe_classes.class_names)


def test_as_a_student_runs_it(tmp_path):
    """From another folder, nothing given: only the lesson's lines on stdout, no chatter."""
    script = LAB / "imagenet_inference.py"
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0
    assert_form(ran.stdout, caffe_classes.class_names)
    assert max(map(len, ran.stderr.splitlines())) < 80
    for line in ran.stderr.replace("\n    ", " ").splitlines():
        assert re.fullmatch(r"\S+ is missing; data/standin/\S+ is used, .*data/download.py", line)
    assert list(tmp_path.iterdir()) == []


def test_own_pictures(run_main, weights_file, tmp_path):
    Image.new("RGB", (640, 480), "red").save(tmp_path / "red.jpg")
    Image.new("L", (20, 30), 50).save(tmp_path / "grey.png")
    paths = [str(tmp_path / "red.jpg"), str(tmp_path / "grey.png")]
    for script in imagenet_inference, traffic_sign_inference:
        with tf.Graph().as_default():
            output = run_main(script, "--weights", weights_file, *paths)
        assert_form(output, caffe_classes.class_names, [f"{i}: {p}" for i, p in enumerate(paths)])


def test_head_prints_sign_names(run_main, weights_file, tmp_path):
    head = [np.zeros((4096, 43), np.float32), np.zeros(43, np.float32)]
    head[1][17] = 9
    np.save(tmp_path / "head.npy", {"fc8": head})
    output = run_main(traffic_sign_inference, "--weights", weights_file,
                      "--head", tmp_path / "head.npy")
    assert_form(output, signs.class_names)
    assert output.startswith(f"Image 0\n{signs.class_names[17]}: 0.99")


def test_numbers_of_classes_without_names(run_main, weights, tmp_path):
    for classes, script in (43, imagenet_inference), (10, traffic_sign_inference):
        fc8 = [np.zeros((4096, classes), np.float32), np.zeros(classes, np.float32)]
        np.save(tmp_path / "w.npy", {**weights, "fc8": fc8})
        with pytest.raises(LabError, match=rf"w.npy: .*has {classes} classes"):
            run_main(script, "--weights", tmp_path / "w.npy")


@pytest.mark.parametrize("script", [imagenet_inference, traffic_sign_inference])
@pytest.mark.parametrize("arguments, message", [
    (["absent.jpg"], "absent.jpg: there is no such file"),
    (["page.jpg"], "page.jpg: is not a picture that can be read"),
    (["."], r"^\.: is not a file; check the path of the picture"),
    (["--weights", "absent.npy"], "absent.npy: does not exist"),
    (["--weights", "page.jpg"], "page.jpg: is a web page"),
    (["--no-such-flag"], "unrecognized arguments: --no-such-flag; see --help"),
])
def test_bad_input_is_an_error(run_main, tmp_path, monkeypatch, script, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    with pytest.raises(LabError, match=message) as error:
        run_main(script, *arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("raised, status, printed", [
    (LabError("a: wrong; cure\nit"), 2, "x.py: a: wrong; cure it\n"),
    (OSError(28, "No space left on device", "file"), 2, "No space left on device: 'file'\n"),
    (KeyboardInterrupt(), 130, "\nx.py: interrupted\n"),
])
def test_errors_end_in_one_line_and_a_status(monkeypatch, capsys, raised, status, printed):
    def main():
        raise raised

    monkeypatch.setattr(sys, "argv", ["/some/x.py"])
    with pytest.raises(SystemExit) as end:
        files.run_script(main)
    assert end.value.code == status
    captured = capsys.readouterr()
    assert captured.err.endswith(printed) and captured.out == ""
    assert captured.err.strip().count("\n") == 0


@pytest.mark.parametrize("line, error", [("x = ...", SystemExit), ("x = y", NameError)])
def test_an_exercise_still_to_be_written_gets_a_sentence(
        monkeypatch, tmp_path, capsys, line, error):
    script = tmp_path / "x.py"
    script.write_text(f"# Exercise resize\n{line}\n# End of resize\n")

    def main():
        raise NameError("name 'x' is not defined")

    monkeypatch.setattr(sys, "argv", [str(script)])
    with pytest.raises(error) as end:
        files.run_script(main)
    if error is SystemExit:
        assert end.value.code == 2
        assert capsys.readouterr().err == (
            "x.py: `...` is still in the exercise resize; write its lines, then ask: "
            "python tests/check.py resize\n")


def test_real_pictures_are_read(real_data, run_main, weights_file):
    pictures = [real_data / name for name in ("poodle.png", "weasel.png")]
    output = run_main(imagenet_inference, "--weights", weights_file, *pictures)
    assert len(re.findall("^Image", output, re.MULTILINE)) == 2


@pytest.fixture
def empty_lab(tmp_path, monkeypatch):
    """The lab's folders, moved to an empty place."""
    for module in files, standin:
        monkeypatch.setattr(module, "LAB", tmp_path)
        monkeypatch.setattr(module, "DATA", tmp_path / "data")
    (tmp_path / "data").mkdir()
    return tmp_path


def test_real_files_come_first(empty_lab, capsys):
    for folder in (empty_lab / "data", empty_lab):
        (folder / "stop.jpg").write_bytes(b"real")
        assert files.find("stop.jpg") == folder / "stop.jpg"
    assert capsys.readouterr().err == ""
    assert files.find_real("test.p") is None


def test_standins_are_made_once_and_always_the_same(empty_lab, capsys):
    for name, size in (("stop.jpg", (32, 32)), ("poodle.png", (227, 227))):
        path = files.find(name)
        assert path == empty_lab / "data" / "standin" / name
        content, made = path.read_bytes(), path.stat().st_mtime_ns
        assert Image.open(path).size == size
        assert files.find(name).stat().st_mtime_ns == made
        path.unlink()
        assert files.find(name).read_bytes() == content
        lines = capsys.readouterr().err.replace("\n    ", " ").splitlines()
        assert len(lines) == 3 and all(line.startswith(f"{name} is missing; ") for line in lines)
    assert Image.open(files.find("poodle.png")).mode == "RGBA"


def test_standin_weights_are_a_weights_file(empty_lab):
    path = files.find("bvlc-alexnet.npy")
    read = read_weights(path)
    assert read["fc8"][0].shape == (4096, 1000)
    assert abs(path.stat().st_size / 1e6 - 243.86) < 0.01
    again = standin.make_weights()
    assert all(np.array_equal(a, b) for name in read for a, b in zip(read[name], again[name]))


def test_a_standin_that_breaks_off_leaves_nothing(empty_lab, monkeypatch):
    def write_standin(name, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(standin, "write_standin", write_standin)
    with pytest.raises(KeyboardInterrupt):
        files.find("stop.jpg")
    assert list((empty_lab / "data" / "standin").iterdir()) == []


def test_atomic_write_keeps_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ValueError), files.atomic_write(path) as file:
        file.write(b"new")
        raise ValueError
    assert path.read_bytes() == b"old"
    with files.atomic_write(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]


def test_class_names_are_the_known_lists(real_data):
    lines = (real_data / "imagenet_class_names.txt").read_text().splitlines()
    assert caffe_classes.class_names == lines

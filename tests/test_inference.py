"""The inference scripts: what they print, and what they do with bad input."""
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import bad_file, copy_code
from PIL import Image

import caffe_classes
import imagenet_inference
import traffic_sign_inference
from data.lab import gtsrb, paths, standin
from data.lab.command import LabError
from data.lab.weights import read_weights, save_weights

FORM = r"(Image {}\n(?:[^\n]+: [01]\.\d{{3}}\n){{5}}\n)"
TIME = r"Time: \d+\.\d{3} seconds\n"
NOTICE = """\
Using synthetic files in place of bvlc-alexnet.npy, train.p, poodle.png,
weasel.png, construction.jpg, stop.jpg. With synthetic weights, AlexNet's own
predictions are meaningless. To get real files, run: python data/download.py
(or, for weights of 9 MB only, add --small)
"""
SCRIPTS = imagenet_inference, traffic_sign_inference


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


@pytest.mark.parametrize("script", SCRIPTS)
def test_lesson_output(run_main, weights_file, script):
    assert_form(run_main(script, "--weights", weights_file), caffe_classes.class_names)


def test_as_a_student_runs_it(tmp_path, standins):
    """From another folder, nothing given: only the lesson's lines on stdout."""
    copy_code(tmp_path / "lab")
    standin.find("bvlc-alexnet.npy")  # in this test's lab, for all tests
    (tmp_path / "lab" / "data" / "standin").symlink_to(standins)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ran = subprocess.run([sys.executable, tmp_path / "lab" / "imagenet_inference.py"],
                         capture_output=True, text=True, cwd=elsewhere, check=True)
    assert_form(ran.stdout, caffe_classes.class_names)
    assert ran.stderr.count(NOTICE) == 1 and list(elsewhere.iterdir()) == []


def test_own_images_and_folders_of_them(run_main, weights_file, tmp_path):
    (tmp_path / "pets" / "dogs").mkdir(parents=True)
    names = ["red.jpg", "pets/dogs/b.png", "pets/grey.png", "red\x1b[2J\nImage 1: forged.png"]
    Image.new("RGB", (640, 480), "red").save(tmp_path / names[0])
    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(30, 20)).save(tmp_path / names[1])
    Image.new("L", (20, 30), 50).save(tmp_path / names[2])
    Image.new("RGB", (8, 8), "red").save(tmp_path / names[3])
    given = [tmp_path / name for name in (names[0], "pets", names[3])]
    heads = [f"{i}: {tmp_path / name}" for i, name in enumerate(names)]
    heads[3] = f"3: {tmp_path}/red\\x1b[2J\\nImage 1: forged.png"
    for script in SCRIPTS:
        output = run_main(script, "--weights", weights_file, *given)
        assert_form(output, caffe_classes.class_names, heads)


def test_head_prints_sign_names(run_main, weights_file, tmp_path):
    head = [np.zeros((4096, 43), np.float32), np.zeros(43, np.float32)]
    head[1][17] = 9
    np.save(tmp_path / "head.npy", {"fc8": head})
    output = run_main(traffic_sign_inference, "--weights", weights_file,
                      "--head", tmp_path / "head.npy")
    assert_form(output, gtsrb.class_names)
    assert output.startswith(f"Image 0\n{gtsrb.class_names[17]}: 0.99")


def test_weights_of_other_classes_are_refused(run_main, weights, tmp_path):
    """As a finetuned network of one's own, which was trained on 32x32 pixels and has names."""
    for classes, more, script in ((43, {}, imagenet_inference), (10, {}, traffic_sign_inference),
                                  (5, {"names": list("abcde")}, imagenet_inference)):
        fc8 = [np.zeros((4096, classes), np.float32), np.zeros(classes, np.float32)]
        save_weights(tmp_path / "w.npy", {**weights, "fc8": fc8, **more})
        with pytest.raises(LabError, match=rf"w.npy: .*has {classes} classes"):
            run_main(script, "--weights", tmp_path / "w.npy")


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("arguments, message", [
    (["absent.jpg"], "absent.jpg: does not exist; check the path"),
    (["page.jpg"], "page.jpg: is truncated, damaged or in the wrong format"),
    (["empty"], "^empty: contains no images; give a folder with images"),
    (["--weights", "absent.npy"], "absent.npy: does not exist"),
    (["--weights", "page.jpg"], "page.jpg: is a web page"),
    (["--no-such-flag"], "unrecognized arguments: --no-such-flag; see --help"),
])
def test_bad_input_is_an_error(run_main, tmp_path, monkeypatch, script, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    with bad_file(message, fix=""):
        run_main(script, *arguments)


def test_an_images_answer_does_not_depend_on_the_others(run_main, weights_file, tmp_path):
    rng = np.random.default_rng(0)
    pictures = [tmp_path / f"{i:02}.png" for i in range(70)]
    for picture in pictures:
        Image.fromarray(rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)).save(picture)
    output = run_main(traffic_sign_inference, "--weights", weights_file, tmp_path)
    assert_form(output, caffe_classes.class_names, [f"{i}: {p}" for i, p in enumerate(pictures)])
    last = run_main(traffic_sign_inference, "--weights", weights_file, pictures[-1])
    assert last.splitlines()[1:6] == output.splitlines()[-7:-2]


def test_results_before_a_damaged_image_are_printed(run_main, weights_file, tmp_path, capsys):
    for i in range(70):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{i:02}.png")
    (tmp_path / "50.png").write_bytes((tmp_path / "50.png").read_bytes()[:40])
    with pytest.raises(LabError, match="50.png: is truncated"):
        run_main(imagenet_inference, "--weights", weights_file, tmp_path)
    assert re.findall("Image (.*):", capsys.readouterr().out) == [str(i) for i in range(32)]


def test_real_pictures(run_main, weights_file, real_data):
    """The course's images, found in data/, are read as they are."""
    pictures = [real_data / name for name in ("poodle.png", "weasel.png")]
    for picture in pictures:
        (paths.DATA / picture.name).symlink_to(picture)
    outputs = [run_main(imagenet_inference, "--weights", weights_file, *given)
               for given in ([], pictures)]
    assert_form(outputs[0], caffe_classes.class_names)
    assert len({re.sub("(?m)^(Image .|Time).*", "", output) for output in outputs}) == 1
    with Image.open(real_data / "poodle.png") as picture:
        assert picture.size == (227, 227)


def test_class_names_are_the_known_list(real_data):
    lines = (real_data / "imagenet_class_names.txt").read_text().splitlines()
    assert caffe_classes.class_names == lines


# Synthetic files


def test_standins_are_made_once_and_always_the_same(lab, capsys):
    (paths.DATA / "standin").unlink()
    standin.announce.cache_clear()
    for name, size in (("stop.jpg", (32, 32)), ("poodle.png", (227, 227))):
        path = standin.find(name)
        assert path == lab / "data" / "standin" / standin.VERSION / name
        content, made = path.read_bytes(), path.stat().st_mtime_ns
        assert Image.open(path).size == size
        assert standin.find(name).stat().st_mtime_ns == made
        path.unlink()
        assert standin.find(name).read_bytes() == content
    (paths.DATA / "stop.jpg").write_bytes(b"real")
    assert standin.find("stop.jpg") == paths.DATA / "stop.jpg"
    assert capsys.readouterr().err == NOTICE  # once


def test_standin_weights_are_a_weights_file():
    path = standin.find("bvlc-alexnet.npy")
    read = read_weights(path)
    assert read["fc8"][0].shape == (4096, 1000)
    assert abs(path.stat().st_size / 1e6 - 243.86) < 0.01
    again = standin.make_weights()
    assert all(np.array_equal(a, b) for name in read for a, b in zip(read[name], again[name]))


def test_a_standin_that_breaks_off_leaves_nothing(monkeypatch):
    def write(name, file):
        file.write(b"half")
        raise KeyboardInterrupt

    (paths.DATA / "standin").unlink()
    monkeypatch.setattr(standin, "write", write)
    with pytest.raises(KeyboardInterrupt):
        standin.find("stop.jpg")
    assert not [path for path in (paths.DATA / "standin").rglob("*") if path.is_file()]

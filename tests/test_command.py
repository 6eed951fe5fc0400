"""What a command does with bad input, odd names, closed streams and a broken import."""
import os
import subprocess
import sys

import pytest
from conftest import LAB

from data.lab import command, exercises
from data.lab.command import LabError


@pytest.mark.parametrize("raised, status, printed", [
    (LabError("a: wrong; cure\nit"), 2, "x.py: a: wrong; cure it\n"),
    (LabError("a\x1b[2J\rb: wrong"), 2, "x.py: a\\x1b[2J b: wrong\n"),
    (LabError("x" * 5_000_000 + "; the cure"), 2, "x; the cure\n"),
    (OSError(28, "No space left on device", "file"), 2, "No space left on device: 'file'\n"),
    (KeyboardInterrupt(), 130, "\nx.py: interrupted\n"),
])
def test_errors_end_in_one_line_and_a_status(monkeypatch, capsys, raised, status, printed):
    def main():
        raise raised

    monkeypatch.setattr(sys, "argv", ["/some/x.py"])
    with pytest.raises(SystemExit) as end:
        command.run_script(main)
    assert end.value.code == status
    captured = capsys.readouterr()
    assert captured.err.endswith(printed) and captured.out == ""
    assert captured.err.strip().count("\n") == 0 and len(captured.err) < 500


@pytest.mark.parametrize("arguments, message", [
    (["--epochs", "0"], "'0' is not a whole number from 1 to"),
    (["--epochs", "ten"], "'ten' is not a whole number from 1 to"),
    (["--epochs", "2147483648"], "'2147483648' is not a whole number from 1 to 2147483647"),
    (["--epochs", "9" * 5000], "' is not a whole number from 1 to 2147483647"),
    (["--epochs", "1.5"], "'1.5' is not a whole number from 1 to"),
    (["--epochs", ""], "'' is not a whole number from 1 to"),
    (["--rate", "-1"], "'-1' is not a number above 0"),
    (["--rate", "nan"], "'nan' is not a number above 0"),
    (["--rate", "1e38"], "'1e38' is not a number above 0 and below 1e38"),
    (["--file", ""], "argument --file: is empty; give a path, or leave it out"),
    ([""], "argument files: is empty"),
    (["--no-such-flag"], "unrecognized arguments: --no-such-flag; see --help"),
])
def test_bad_arguments(monkeypatch, arguments, message):
    settings = [("files", command.path, None, ""), ("--file", command.path, None, ""),
                ("--epochs", command.at_least(1), 10, ""), ("--rate", command.positive, 0.1, "")]
    monkeypatch.setattr(sys, "argv", ["x.py", *arguments])
    with pytest.raises(LabError, match=message):
        command.parse_settings("", settings)


@pytest.mark.parametrize("line, error", [("x = ...", SystemExit), ("x = y", NameError)])
def test_an_exercise_still_to_be_written_is_told_before_the_work(
        monkeypatch, tmp_path, capsys, line, error):
    def main():
        raise NameError("worked")

    script = tmp_path / "x.py"
    script.write_text(f"\ufeff# Exercise resize\n{line}\n# End of resize\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", [str(script)])
    with pytest.raises(error):
        exercises.run_script(main)
    if error is SystemExit:
        assert capsys.readouterr().err == (
            "x.py: `...` is still in the exercise resize; write its lines, then ask: "
            "python tests/check.py resize\n")


def run(code, **environment):
    """A process of its own that runs `code`."""
    return subprocess.run([sys.executable, "-c", code], cwd=LAB, capture_output=True, text=True,
                          check=False, env={**os.environ, **environment})


MAIN = "from data.lab.command import LabError, run_script\n" \
       "def main():\n    print('Image 0: \\u4ea4\\udcff')\n    raise LabError('\\u901a: wrong')\n" \
       "run_script(main)"


def test_names_outside_the_outputs_encoding():
    ran = run(MAIN, PYTHONIOENCODING="ascii")
    assert ran.returncode == 2
    assert ran.stdout == "Image 0: \\u4ea4\\udcff\n" and ran.stderr == "-c: \\u901a: wrong\n"


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell closes the streams")
@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "0<&- 1>&- 2>&-", "1>/dev/full"])
def test_closed_streams_and_a_full_disk_are_no_traceback(closed):
    code = MAIN.replace("raise LabError('\\u901a: wrong')",
                        "import data.lab.tf1, sys\n    print('told', file=sys.stderr)")
    command = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, code]
    ran = subprocess.run(command, cwd=LAB, capture_output=True, text=True, check=False)
    assert "Traceback" not in ran.stderr and "Exception ignored" not in ran.stderr
    assert ran.returncode == (2 if "full" in closed else 0) and "told" not in ran.stdout


@pytest.mark.parametrize("end, told", [
    ("os.abort()", "no AVX"), ("raise ImportError('no library')", "no AVX"),
    ("raise KeyboardInterrupt", "-c: interrupted"), ("", "")])
def test_what_tensorflow_says_before_it_fails_is_shown(tmp_path, end, told):
    package = tmp_path / "tensorflow" / "compat" / "v1"
    package.mkdir(parents=True)
    for folder in package.parents[1], package.parent:
        (folder / "__init__.py").touch()
    (package / "__init__.py").write_text(
        "import os\nos.write(2, b'this CPU has no AVX')\nfrom unittest.mock import Mock\n"
        f"logging, disable_eager_execution = Mock(), Mock()\n{end}\n")
    ran = run("import data.lab.tf1", PYTHONPATH=str(tmp_path))
    assert told in ran.stderr and (told or not ran.stderr)
    assert (ran.returncode == 0) == (not end)
    assert "Traceback" not in ran.stderr or "ImportError" in ran.stderr

"""What a command does with bad input, odd names, and streams that are closed or full."""
import contextlib
import io
import itertools
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from conftest import LAB

from data.lab import batches, command
from data.lab.command import LabError, about


@pytest.mark.parametrize("raised, status, printed", [
    (LabError("a: wrong; fix\nit"), 2, "x.py: a: wrong; fix it\n"),
    (LabError("use 'a  b'"), 2, "x.py: use 'a  b'\n"),
    (LabError("a\x1b[2J\rb: wrong"), 2, "x.py: a\\x1b[2J b: wrong\n"),
    (LabError("x" * 5_000_000 + "; the fix"), 2, "x; the fix\n"),
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
    (["--epochs", "0"], "'0' is not an integer from 1 to"),
    (["--epochs", "2147483648"], "'2147483648' is not an integer from 1 to 2147483647"),
    (["--epochs", "9" * 5000], "' is not an integer from 1 to 2147483647"),
    (["--epochs", "1.5"], "'1.5' is not an integer from 1 to"),
    (["--rate", "-1"], "'-1' is not a number above 0"),
    (["--rate", "1e38"], "'1e38' is not a number above 0 and below 1e38"),
    (["--size", "513"], "'513' is not an integer from 32 to 512"),
    (["--file", ""], "argument --file: is empty; give a path, or omit the argument"),
    (["--no-such-flag"], "unrecognized arguments: --no-such-flag; see --help"),
])
def test_bad_arguments(monkeypatch, arguments, message):
    settings = [("files", command.path, None, ""), ("--file", command.path, None, ""),
                ("--epochs", command.at_least(1), 10, ""), ("--rate", command.positive, 0.1, ""),
                ("--size", command.at_least(32, 512), 32, "")]
    monkeypatch.setattr(sys, "argv", ["x.py", *arguments])
    with pytest.raises(LabError, match=message):
        command.parse_settings("", settings)


@pytest.mark.parametrize("line, error", [("x = ...", SystemExit), ("x = y", NameError)])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_an_unwritten_exercise_is_reported_before_the_work(
        monkeypatch, tmp_path, capsys, line, error, encoding):
    def main():
        command.parse_settings("", [])
        raise NameError("worked")

    script = tmp_path / "x.py"
    script.write_text(f"# coding: {encoding}\n# \u00e9t\u00e9\n# Exercise resize\n{line}\n"
                      "    # End of resize\n", encoding=encoding)
    monkeypatch.setattr(sys, "argv", [str(script)])
    with pytest.raises(error):
        command.run_script(main)
    if error is SystemExit:
        assert capsys.readouterr().err == (
            "x.py: exercise resize is not done: replace `...` with your code, then run: "
            "python tests/check.py resize\n")


@pytest.mark.parametrize("name, flag, error", [
    ("caching", "--no-cache", NameError), ("caching", "--no-c", NameError),
    ("caching", "", LabError), ("fc8", "--no-cache", LabError), ("fc8", "--help", SystemExit)])
def test_only_exercises_that_the_command_needs_stop_it(monkeypatch, tmp_path, name, flag, error):
    script = tmp_path / "x.py"
    script.write_text(f"# Exercise {name}\n...\n# End of {name}\n")
    monkeypatch.setattr(sys, "argv", [str(script), *flag.split()])
    with pytest.raises(error) as raised:
        command.parse_settings("", [("--no-cache", bool, None, "")])
        raise NameError("worked")
    assert error is not LabError or ("train with --no-cache" in str(raised.value)) == (not flag)


@pytest.mark.parametrize("raised, message", [
    (LabError("is odd"), "file: is odd; the fix"),
    (PermissionError(13, "Permission denied"), "cannot be read .Permission denied.; check"),
    (KeyError("a"), "is truncated, damaged or in the wrong format .KeyError.; the fix"),
])
def test_an_error_names_the_file_that_it_is_about(tmp_path, raised, message):
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match=message), about(tmp_path / "file", "the fix"):
        raise raised


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_what_is_no_ordinary_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    for name, wrong in ("pipe", "is not a file"), ("link", "is not a file"), ("no", "does not"):
        with pytest.raises(LabError, match=f"{name}: {wrong}.*; check the path, or the fix"):
            with about(tmp_path / name, "the fix"):
                pytest.fail("read")


@pytest.mark.parametrize("terminal, among_output, shown", [
    (True, False, [50, 100, 150, 200, 250, 300]), (True, True, [200, 300]),
    (False, False, [200, 300])])
def test_progress(monkeypatch, capsys, terminal, among_output, shown):
    """On a terminal it is one line; in a log, or among other output, lines 20 seconds apart."""
    clock = itertools.count(0, 5)  # a batch takes 5 seconds
    monkeypatch.setattr(batches, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert len([*batches.batches(range(300), 50, among_output=among_output)]) == 6
    lines = [f"{done / 300:4.0%} {done} of 300 images, 10.0/s, 0:{30 - done // 10:02} left"
             for done in shown]
    one_line = terminal and not among_output
    assert capsys.readouterr().err == (
        "".join(f"\r{line:78}" for line in lines) if one_line else "\n".join(lines)) + "\n"


def test_scripts_run_where_stdout_is_not_a_terminal_or_a_file():
    """IDLE's stdout has no reconfigure(), and neither has io.StringIO."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        command.run_script(lambda: print("ran"))
    assert output.getvalue() == "ran\n"


MAIN = "from data.lab.command import LabError, run_script, say\n" \
       "def main():\n    print('Image 0: \\u4ea4\\udcff')\n    raise LabError('\\u901a: wrong')\n" \
       "run_script(main)"
ANSWER = MAIN.replace("raise LabError('\\u901a: wrong')", "say('reported')\n    print('answer')")


def run(code, redirect="", **environment):
    """Run `code` in a separate process."""
    command = ["sh", "-c", f'exec "$0" -c "$1" {redirect}', sys.executable, code]
    return subprocess.run(command, cwd=LAB, capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell redirects the streams")
class TestStreams:
    def test_names_outside_the_outputs_encoding(self):
        ran = run(MAIN, PYTHONIOENCODING="ascii")
        assert ran.returncode == 2
        assert ran.stdout == "Image 0: \\u4ea4\\udcff\n" and ran.stderr == "-c: \\u901a: wrong\n"

    @pytest.mark.parametrize("redirect", ["2>/dev/full", "2>&-"])
    def test_the_answer_does_not_depend_on_stderr(self, redirect):
        ran = run(ANSWER, redirect)
        assert ran.returncode == 0 and ran.stdout.endswith("answer\n")
        assert "reported" not in ran.stdout + ran.stderr
        assert run(MAIN, redirect).returncode == 2

    @pytest.mark.parametrize("redirect, status", [("1>&-", 0), ("1>/dev/full", 2)])
    def test_a_stdout_that_takes_nothing_is_no_traceback(self, redirect, status):
        ran = run(ANSWER, redirect)
        assert ran.returncode == status and ran.stderr
        assert "Traceback" not in ran.stderr and "Exception ignored" not in ran.stderr

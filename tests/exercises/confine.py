"""What a submission cannot do while it is checked: write elsewhere, start programs, use up all.

Python's audit hooks and replaced TensorFlow functions refuse what mistakes and pranks would do;
native code (through ctypes, or in TensorFlow's other operations) is not held back.
"""
import contextlib
import os
import sys
import time

from tensorflow.python.lib.io import _pywrap_file_io as files

from data.lab.tf1 import tf

# os.chdir: without it, a path from a folder's descriptor leads no further than from here.
FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn",
             "os.spawn", "os.kill", "os.startfile", "_winapi.CreateProcess", "pty.", "sqlite3.",
             "os.chdir")
OPEN_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT
WRITING = ("os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir",
           "os.symlink", "os.truncate", "os.utime", "shutil.rmtree")
TWO_NAMES = "os.rename", "os.link", "os.symlink"
FUNCTIONS = {  # of TensorFlow's files, with which tf.gfile and tf.summary work: their files' names
    "CreateDir": 1, "DeleteFile": 1, "DeleteRecursively": 1, "RecursivelyCreateDir": 1,
    "WritableFile": 1, "WriteStringToFile": 1, "CopyFile": 2, "RenameFile": 2}
OPERATIONS = {  # of TensorFlow that write: the number of the input that is the file's name
    "WriteFile": 0, "SaveV2": 0, "CreateSummaryFileWriter": 1}
MEMORY = 6e9 + 0.25e9 * (os.cpu_count() or 1)  # bytes of address space; TensorFlow takes 2e9
LARGEST = 256e6  # bytes of a file


def confine(folder, seconds):
    """Let this process write in `folder` alone, for `seconds` of CPU time from now on.

    It can start no program and open no connection. Its memory and files are limited too.
    """
    folder = os.path.realpath(folder) + os.sep

    def refuse(action, *_, **__):
        raise PermissionError(f"the check does not allow {action}")

    def look(action, *names):
        for name in names:
            if not isinstance(name, int):  # a descriptor
                name = os.fsdecode(name)
                if "://" in name or not (os.path.realpath(name) + os.sep).startswith(folder):
                    refuse(f"{action} outside its own folder")

    def audit(event, arguments):
        if event.startswith(FORBIDDEN):
            refuse(event)
        elif event in WRITING:
            look(event, *arguments[:1 + (event in TWO_NAMES)])
        elif event == "open" and (arguments[2] & OPEN_TO_WRITE or os.path.isdir(arguments[0])):
            look(event, arguments[0])

    def guard(name, count):
        function = getattr(files, name)

        def guarded(*arguments):
            look(f"TensorFlow's {name}", *arguments[:count])
            return function(*arguments)

        setattr(files, name, guarded)

    def create(graph, kind, inputs, *arguments, **named):
        if kind in OPERATIONS:
            name = tf.get_static_value(inputs[OPERATIONS[kind]])
            look(f"TensorFlow's {kind}", os.sep if name is None else name.item())
        return create_op(graph, kind, inputs, *arguments, **named)

    for item in FUNCTIONS.items():
        guard(*item)
    create_op, tf.Graph._create_op_internal = tf.Graph._create_op_internal, create
    with contextlib.suppress(ImportError):  # on Windows
        import _posixsubprocess  # with which multiprocessing starts processes; not audited
        import resource

        _posixsubprocess.fork_exec = lambda *_: refuse("multiprocessing")
        for limit, value in ((resource.RLIMIT_CPU, time.process_time() + seconds),
                             (resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, LARGEST),
                             (resource.RLIMIT_CORE, 0)):
            with contextlib.suppress(OSError, ValueError):  # such as on macOS, or a stricter one
                resource.setrlimit(limit, (int(value), int(value) + 1))
    sys.addaudithook(audit)

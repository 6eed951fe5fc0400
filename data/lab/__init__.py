"""Helpers of the three scripts. The lesson can be read without them."""
import os
import sys

# A standard stream that is closed would give its number to the next file that is opened.
while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
    pass
os.close(number)


def end_import(kind, error, trace):
    """Ctrl-C while the modules are being imported ends in a line, not in a traceback."""
    if issubclass(kind, KeyboardInterrupt):
        print(f"\n{os.path.basename(sys.argv[0])}: interrupted", file=sys.stderr)
        os._exit(130)
    sys.__excepthook__(kind, error, trace)


sys.excepthook = end_import

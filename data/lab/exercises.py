"""What a script says of an exercise that is still to be written."""
import re
import sys
from pathlib import Path

from data.lab import command

EMPTY = re.compile(r"^ *(?:\w+ = )?\.\.\. *(?:#.*)?$", re.MULTILINE)


def run_script(main):
    """As command.run_script; an exercise that is still to be written is told before the work."""

    def look_first():
        source = Path(sys.argv[0]).read_text(encoding="utf-8")
        for name, lines in re.findall(r"# Exercise (\w+)(.*?)# End of", source, re.DOTALL):
            if EMPTY.search(lines):
                raise command.LabError(f"`...` is still in the exercise {name}; write its lines, "
                                       f"then ask: python tests/check.py {name}")
        main()

    command.run_script(look_first)

"""Work in batches, with one progress line on stderr: amount, rate and time left."""
import shutil
import sys
import time
from contextlib import closing

from data.lab.command import say

BATCH = 32  # images in a forward pass; larger is not faster on CPUs


class Progress:
    """A progress line for work on `total` items, of which `done` needed no work.

    On a terminal, the line is redrawn five times a second; in a log, or `among_output` of the
    caller, it is printed every 20 seconds. Work that takes less than 2 (20) seconds shows none.
    `total` may be None: unknown.
    """

    def __init__(self, total, unit, done=0, among_output=False):
        self.total, self.unit, self.done = total, unit, done
        self.terminal = sys.stderr is not None and sys.stderr.isatty() and not among_output
        self.start = time.monotonic()
        self.due = self.start + (2 if self.terminal else 20)
        self.shown = False

    def update(self, done):
        """Show that `done` items of the total are done."""
        now = time.monotonic()
        finished = self.shown and done == self.total
        if now < self.due and not finished:
            return
        self.due, self.shown = now + (0.2 if self.terminal else 20), True
        rate = (done - self.done) / max(now - self.start, 1e-9)
        line = f"{done:,.0f} {self.unit}, {rate:,.1f}/s"
        if self.total:
            minutes, seconds = divmod(round((self.total - done) / max(rate, 1e-9)), 60)
            line = f"{done / self.total:4.0%} {done:,.0f} of {self.total:,.0f} {self.unit}, " \
                   f"{rate:,.1f}/s, {minutes}:{seconds:02} left"
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1  # a wider line would wrap
            say(f"\r{line[:width]:<{min(width, 78)}}", end="")
        else:
            say(line)

    def close(self):
        """End the line, so that what is printed next starts on a new one."""
        if self.terminal and self.shown:
            say("")


def batches(images, size=BATCH, done=0, among_output=False):
    """Yield `images`, or their indices, from number `done` on in batches of `size`.

    The last batch may be smaller. The progress line counts a batch when the next one is requested.
    among_output: whether the caller prints between batches.
    """
    with closing(Progress(len(images), "images", done, among_output)) as progress:
        for start in range(done, len(images), size):
            batch = images[start:start + size]
            yield batch
            progress.update(start + len(batch))

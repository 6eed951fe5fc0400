"""One progress line on stderr: amount, rate and time left."""
import sys
import time


def clock(seconds):
    """`seconds` as minutes:seconds, for example 3:07."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress:
    """Show how far work on `total` things is; `done_before` of them needed no work.

    On a terminal the line is redrawn five times a second, elsewhere (a log) it is
    printed every 20 seconds. `total` None means unknown.
    """

    def __init__(self, total, unit, done_before=0):
        self.total, self.unit, self.done_before = total, unit, done_before
        self.start = self.shown = time.monotonic()
        self.terminal = sys.stderr.isatty()

    def update(self, done):
        """Say that `done` things of the total are done."""
        now = time.monotonic()
        finished = self.total is not None and done >= self.total
        if now - self.shown < (0.2 if self.terminal else 20) and not finished:
            return
        self.shown = now
        rate = (done - self.done_before) / max(now - self.start, 1e-9)
        line = f"{done:,.0f} {self.unit}, {rate:,.1f}/s"
        if self.total:
            left = clock((self.total - done) / rate) if rate > 0 else "?"
            line = f"{done / self.total:4.0%} {done:,.0f} of {self.total:,.0f} {self.unit}, "
            line += f"{rate:,.1f}/s, {left} left"
        if self.terminal:
            print(f"\r{line:<78}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self):
        """End the line, so that what is printed next starts on a new one."""
        if self.terminal:
            print(file=sys.stderr)

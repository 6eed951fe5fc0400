"""One progress line on stderr: amount, rate and time left."""
import sys
import time


def clock(seconds):
    """`seconds` as minutes:seconds, for example 3:07."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress:
    """Show how far work on `total` things is; `done_before` of them needed no work.

    On a terminal the line is redrawn five times a second, elsewhere (a log) it is printed
    every 20 seconds. Work of less than two (20) seconds shows none. `total` None means
    unknown.
    """

    def __init__(self, total, unit, done_before=0):
        self.total, self.unit, self.done_before = total, unit, done_before
        self.terminal = sys.stderr.isatty()
        self.interval = 0.2 if self.terminal else 20
        self.start = time.monotonic()
        self.due = self.start + (2 if self.terminal else 20)
        self.shown = False

    def update(self, done):
        """Say that `done` things of the total are done."""
        now = time.monotonic()
        finished = self.shown and self.total is not None and done >= self.total
        if now < self.due and not finished:
            return
        self.due, self.shown = now + self.interval, True
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
        if self.terminal and self.shown:
            print(file=sys.stderr)


def batches(images, size, done=0):
    """Yield `images`, or their indices, from number `done` on in pieces of `size`.

    The last piece may be smaller. The progress line counts a piece when the next is asked for.
    """
    progress = Progress(len(images), "images", done)
    for start in range(done, len(images), size):
        batch = images[start:start + size]
        yield batch
        progress.update(start + len(batch))
    progress.close()

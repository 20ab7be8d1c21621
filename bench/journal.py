"""The document of a run: written after each record, and progress on standard error."""

import json
import os
import sys
import time

from table import line


class Journal:
    """Collects what is measured.

    Parameters
    ----------
    about : dict
        What the document says of the run besides: machine, command, options.
    path : Path, optional
        A JSON file, which holds all records so far at any moment: it is replaced, not rewritten.
    stream : file, optional
        Where each record is printed as soon as it is known; standard error.
    """

    def __init__(self, about, path=None, stream=None):
        self.about, self.path, self.stream = about, path, stream or sys.stderr
        self.records, self.skipped, self.refused = [], {}, []
        self.start, self.n, self.total = time.monotonic(), 0, 0

    @property
    def document(self):
        """All of it, for JSON."""
        found = {"records": self.records, "skipped": self.skipped, "refused": self.refused}
        return {**self.about, **found}

    def begin(self, total):
        """Say how many measurements there will be, and write the document without any."""
        self.total = total
        for peer, reason in self.skipped.items():
            self._say(f"skipped {peer}: {reason}")
        self.write()

    def add(self, record):
        """One more record."""
        self.records.append(record)
        self._next(line(record))

    def skip(self, job, reason):
        """A job that cannot be measured here."""
        self.skipped[job["peer"] or job["name"]] = reason
        self._next(f"skipped {job['peer'] or job['name']}: {reason}")

    def refuse(self, job, reason):
        """A job whose results are wrong."""
        self.refused.append({**job, "reason": reason})
        self._next(f"REFUSED {reason}")

    def _next(self, text):
        self.n += 1
        minutes, seconds = divmod(int(time.monotonic() - self.start), 60)
        self.write()
        self._say(f"[{self.n}/{self.total} {minutes}:{seconds:02}] {text}")

    def _say(self, text):
        print(text, file=self.stream, flush=True)

    def write(self):
        """Replace the file."""
        if self.path is not None:
            beside = self.path.with_name(self.path.name + ".part")
            beside.write_text(json.dumps(self.document, indent=1) + "\n", encoding="utf-8")
            os.replace(beside, self.path)

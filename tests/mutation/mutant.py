"""One small fault: where it is, and what it puts there."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """A piece of one file, replaced by another. Positions are characters of the file's text."""

    path: str
    """Relative to the checkout."""
    start: int
    stop: int
    before: str
    after: str
    what: str
    """What kind of fault it is, in a few words."""
    line: int
    line_text: str
    """The whole line that it begins on: what its name is made from, so that other lines may come and go."""
    column: int
    """Within that line, its indentation not counted."""
    nth: int = 1
    """Which of several such lines of the file it is."""

    @property
    def name(self) -> str:
        """Stays the same while its line does."""
        said = "\0".join((self.path, self.line_text.strip(), str(self.column), self.before, self.after, str(self.nth)))
        return hashlib.sha256(said.encode()).hexdigest()[:10]

    def apply(self, text: str) -> str:
        """The file's text with the fault in it."""
        if text[self.start : self.stop] != self.before:
            raise ValueError(f"{self.path} is not the text that the mutant was made from")
        return text[: self.start] + self.after + text[self.stop :]

    def __str__(self) -> str:
        before, after = (" ".join(part.split())[:60] for part in (self.before, self.after))
        return f"{self.name}  {self.path}:{self.line}  {self.what}: `{before}` -> `{after}`"


def mutant(path: str, text: str, start: int, stop: int, after: str, what: str) -> Mutant:
    """A mutant that knows its line."""
    begin = text.rfind("\n", 0, start) + 1
    end = text.find("\n", start)
    line_text = text[begin : end if end >= 0 else len(text)]
    column = start - begin - (len(line_text) - len(line_text.lstrip()))
    return Mutant(path, start, stop, text[start:stop], after, what, text.count("\n", 0, start) + 1, line_text, column)

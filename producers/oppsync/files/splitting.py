r"""Bytes into physical lines, in constant memory.

A line ends with `\n`, `\r\n` or, as on an old Mac, `\r`. `bytes.splitlines` knows just these three: the other line
separators of Unicode are text.
"""

from collections.abc import Iterable, Iterator


def split_lines(chunks: Iterable[bytes], *, limit: int) -> Iterator[bytes | None]:
    """Each line with its end; `None` in place of a line of more than `limit` bytes, which is not kept."""
    rest = b""
    overlong = False
    for chunk in chunks:
        lines = (rest + chunk).splitlines(keepends=True)
        # A final `\r` may be half of a `\r\n`: only the next chunk tells.
        rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
        for line in lines:
            yield None if overlong or len(line) > limit else line
            overlong = False
        if overlong or len(rest) > limit:
            overlong, rest = True, rest[-1:]
    if overlong:
        yield None
    elif rest:
        yield rest

"""Letters as JSON lines, one self-contained object each, into a file that nobody else may read."""

import base64
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

from redis import Redis

from oppsync_ops.jobs.entries import messages
from oppsync_ops.jobs.facts import history
from oppsync_ops.letters.letter import Letter
from oppsync_ops.letters.opening import opened


def exported(client: Redis, found: Iterable[Letter], *, raw: bool) -> Iterator[str]:
    """One line per letter: what is known of it, its history, and its job masked or (`raw`) its whole message."""
    for letter in found:
        message = messages(client, [letter.job_id])[0]
        if message is None:
            # Replayed or discarded since it was seen.
            continue
        document = {
            **letter.as_dict(),
            "history": list(history(client, letter.job_id)),
            **(_whole(message) if raw else opened(message, reveal=False)),
        }
        # ASCII: what a stranger sent may be no text at all, or text that moves a terminal's cursor.
        yield json.dumps(document)


def _whole(message: bytes) -> dict[str, Any]:
    try:
        return {"message": message.decode("utf-8")}
    except UnicodeDecodeError:
        return {"message_base64": base64.b64encode(message).decode("ascii")}


@contextmanager
def private_file(path: Path, *, overwrite: bool) -> Iterator[IO[str]]:
    """A new file with mode 0600, which stands under its name once it is complete, and not before.

    Raises:
        FileExistsError: there is one, and it is not to be overwritten.
        OSError: it cannot be written.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists")
    # NamedTemporaryFile creates with mode 0600, whatever the umask.
    with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        unfinished = Path(file.name)
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

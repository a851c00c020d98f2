"""Writes the walks down: see `accepted.py`."""

import argparse
import tempfile
from pathlib import Path

import redis

from integration.ledger.walks.accepted import FILE, SEEDS, digest, walk
from oppsync_ops import redis_server


def main() -> None:
    """Walk, and keep or write."""
    parser = argparse.ArgumentParser(prog="integration.ledger.walks")
    parser.add_argument("--accept", action="store_true", help="what comes of each step now is what shall come of it")
    parser.add_argument(
        "--write", type=Path, metavar="DIR", help="write each walk, step by step, into a file of its own"
    )
    given = parser.parse_args()
    lines = ["# A walk a line: its seed, then a digest of each step. Written by `--accept`; see accepted.py."]
    with tempfile.TemporaryDirectory() as folder, redis_server.running(Path(folder)) as server:
        for seed in SEEDS:
            with redis.Redis.from_url(server.url) as client:
                steps = list(walk(seed, client))
            lines.append(" ".join([str(seed), *map(digest, steps)]))
            if given.write:
                given.write.mkdir(parents=True, exist_ok=True)
                told = "\n\n".join(f"{one.number}. {one.what}\n-> {one.answer}\n{one.held}" for one in steps)
                (given.write / f"{seed:03}.txt").write_text(told, "utf-8", "backslashreplace")
    if given.accept:
        FILE.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()

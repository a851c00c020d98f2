"""Starts the server in a process of its own that ends at once: `python -m oppsync_ops.embedded.launch HOME PORT`.

The server outlives it, and is nobody's child who would have to wait for it.
"""

import sys
from pathlib import Path

from oppsync_ops.embedded.home import Home
from oppsync_ops.redis_server import NoRedisServer, start


def main() -> int:
    """Start it; 1 with one line on stderr when it does not come up."""
    folder, port = sys.argv[1:]
    home = Home(Path(folder))
    try:
        server = start(home.data, port=int(port), fsync="always", detached=True, access=home.access())
    except NoRedisServer as error:
        print(error, file=sys.stderr)
        return 1
    # It is meant to go on: say so to Popen, which would warn of it otherwise.
    server.process.returncode = 0
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Who may do what on a server that we start: its users, their passwords and rights (ADR 0025)."""

import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Self

APP_USER: Final = "oppsync"
ADMIN_USER: Final = "admin"

_APP_RIGHTS: Final = (
    # Redis 6.2 counts all of CLIENT among the dangerous commands.
    "+@all -@admin -@dangerous +info +role +config|get +client|id +client|getname +client|setname"
)


@dataclass(frozen=True, slots=True)
class Access:
    """The passwords of a server. Its replicas have one of their own, which lets them read and nothing else."""

    app: str = field(repr=False)
    admin: str = field(repr=False)
    replica: str = field(repr=False, default="")

    @classmethod
    def draw(cls) -> Self:
        """New ones."""
        return cls(*(secrets.token_hex(32) for _ in range(3)))

    def app_url(self, port: int) -> str:
        """What `REDIS_URL` is set to."""
        return f"redis://{APP_USER}:{self.app}@127.0.0.1:{port}/0"

    def admin_url(self, port: int) -> str:
        """For whoever looks after the server."""
        return f"redis://{ADMIN_USER}:{self.admin}@127.0.0.1:{port}/0"

    def directives(self) -> str:
        """The part of the server's configuration that says who may do what."""

        def of(password: str) -> str:
            return f"on #{sha256(password.encode()).hexdigest()}"

        lines = [
            # Off, and yet with every right: Redis 7 and 8 read their append-only file as this user, and drop every
            # transaction in it that the user may not run, which is every script that writes more than one key.
            "user default off resetpass ~* &* +@all",
            f"user {APP_USER} {of(self.app)} ~* &* {_APP_RIGHTS}",
            f"user {ADMIN_USER} {of(self.admin)} ~* &* +@all",
        ]
        if self.replica:
            # Known to every server of this process, so that one can be made a replica of another.
            lines += [
                f"user replica {of(self.replica)} -@all +psync +sync +replconf +ping",
                "masteruser replica",
                f"masterauth {self.replica}",
            ]
        return "\n".join([*lines, ""])

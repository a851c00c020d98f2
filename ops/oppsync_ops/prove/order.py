"""Whether the updates of each record took effect in the order in which they were handed over. Pure."""

from collections.abc import Iterator, Sequence

from oppsync_ops.prove.evidence import Record


def wrong(records: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """Records, and the first update of each that was applied after a newer one.

    A request that carries several updates at once counts as the newest of them. The same once more is no step back:
    that is how a retry looks whose first answer was lost.
    """
    for record in records:
        newest = 0
        for applied in record.updates:
            version = max(applied.versions.values(), default=newest)
            if version < newest:
                name = f"{record.instance} record {record.opportunity_id} ({record.made_by})"
                yield name, f"version {version} was applied after version {newest}"
                break
            newest = version

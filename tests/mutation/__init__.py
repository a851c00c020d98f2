"""Mutation testing: one small fault at a time is put into a copy of the sources, and the tests should notice.

    bash ops/mutate --list                      what can be mutated, and by which tests it is judged
    bash ops/mutate --target ledger --sample 40
    bash ops/mutate --changed main              a drawn sample of what has changed since a revision

Lua is mutated over its syntax tree (`lua`), Python by cosmic-ray's operators for comparisons and arithmetic and by our
own for decisions (`python`). Nothing here touches the checkout: every run works on a copy (`sandbox`), and is forked
from a process that has its imports (`warm`). Whoever survives for a good reason is judged in `judged.toml`.
"""

"""For operators and developers: the command line, dead-letter work, the simulator, the demo, benchmarks.

Uses the ledger, never the engine; a producing application does not need it.
"""

"""Dead letters: looking at them, and the two things a person can do with one.

1. A job is buried by the ledger with its message, its cause, its history and the version that buried it (`letter`).
2. A person narrows down which ones are meant (`filters`), and looks at them with what is personal masked (`opening`).
3. They go back to their lane as they were or mended (`replay`, `mending`), or are dropped for good (`discard`), each
   by one script per job that refuses when the job is no longer dead.
4. Or they are carried elsewhere as JSON lines (`export`).
"""

"""Bulk files into jobs.

The story of `oppsync enqueue file`:

1. `check` goes through the whole file and keeps nothing but counts, the first bad lines and a fingerprint.
2. The caller shows them, and decides; as long as a line is bad nothing is sent unless it was asked for.
3. `read_jobs` goes through it again with that fingerprint and hands out job after job, each with a key under which
   the ledger knows it again, so that the same file may be given twice.

Knows files and the contract; knows neither Redis nor the command line.
"""

from oppsync.files.amounts import DecimalMark
from oppsync.files.checking import Report, check
from oppsync.files.csv_lines import Encoding
from oppsync.files.errors import FileChanged, FileError, InvalidDefaults, UnreadableFile
from oppsync.files.identity import KeyFrom
from oppsync.files.lines import BadLine, GoodLine, Line
from oppsync.files.reading import read_jobs
from oppsync.files.source import Fingerprint, Progress

__all__ = [
    "BadLine",
    "DecimalMark",
    "Encoding",
    "FileChanged",
    "FileError",
    "Fingerprint",
    "GoodLine",
    "InvalidDefaults",
    "KeyFrom",
    "Line",
    "Progress",
    "Report",
    "UnreadableFile",
    "check",
    "read_jobs",
]

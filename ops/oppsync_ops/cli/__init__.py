"""The command `oppsync`: it reads options, calls the package that knows, and prints what came of it.

A command function returns its exit code: 0 done, 1 it ran and the answer is bad news, 2 used wrongly. Nothing is
imported before its command is asked for (`lazy`); every error becomes one line (`failures`); every table is JSON too
(`output`).
"""

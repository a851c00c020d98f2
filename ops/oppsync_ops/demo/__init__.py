"""The main job, end to end, on real parts: what `bash ops/demo` shows.

A Redis, a simulated SprintHub and a Celery worker, each a process of its own on loopback; a file of jobs for two
instances, a few of them bad; faults switched on. Then dead letters are looked at, mended and replayed, and the CRM's
records are held against the jobs: the last line says how many were lost and how many doubled.
"""

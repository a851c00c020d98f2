"""The ground floor: what a job is, what becomes of it, and how it looks on the wire.

Standard library and pydantic only. Every name that another application may rely on is defined here.
"""

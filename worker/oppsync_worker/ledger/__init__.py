"""The truth about every job: each state change is one atomic Lua script on Redis' own clock.

`lua/life.lua` says which states there are, where a job of each state is kept, and which transitions are legal. Redis
and the standard library only; nothing here knows Celery or the CRM.
"""

"""The embedded Redis of a directory: one server, found again by every command that is run there.

Files below `.oppsync/`, which nobody else may read: `redis/` is the server's data, `redis.url` its address for as long
as it runs, `redis.secret` its passwords, `redis.pid` its process, `redis.starting` the address of one that is about to
come up, `redis.lock` what those who start or stop it take first.
"""

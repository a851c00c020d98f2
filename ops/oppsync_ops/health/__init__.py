"""Is the worker of this machine alive?"""

"""One attempt from start to end: knows jobs, instances and verdicts, and neither Celery nor Redis' words."""

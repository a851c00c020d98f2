"""One attempt from start to end: knows what a job, an instance and a verdict are, and neither Celery nor Redis' words."""

"""What an operator knows of a job: how its fields are typed, where it is, what happened, what happens next."""

"""The whole at a glance: places and how full they are, instances and their budgets, holds. Reads only."""

"""Counts that are the same on every machine, held against recorded budgets."""

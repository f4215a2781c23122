"""Processors, memory, environment variables, and budgets of time and memory."""

"""The selective scan on CPUs."""

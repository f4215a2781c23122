"""Standard output, standard error, progress, signals and exit codes."""

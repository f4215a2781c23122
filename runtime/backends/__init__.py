"""One module for each inference engine."""

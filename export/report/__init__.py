"""HTML report of a bundle."""

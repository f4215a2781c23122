"""One HTML page that tells everything about a bundle."""

"""From a bundle to artifacts for one runtime and precision."""

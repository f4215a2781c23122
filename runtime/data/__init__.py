"""Images, samples, batches, and readers of benchmark folders."""

"""Re-identification: data set, sampler, losses, validation."""

"""The selective scan on NVIDIA GPUs."""

"""The selective scan of Mamba: one definition, one face for each runtime."""

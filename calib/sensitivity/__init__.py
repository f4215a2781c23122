"""Which layer costs how much accuracy, and which choice of precisions is worth it."""

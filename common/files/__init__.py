"""Opening, locking and atomically writing files and folders."""

"""Search in files of records, by attributes and by likeness."""

"""Files of records: a row for each crop, with its embedding and its attributes."""

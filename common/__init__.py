"""Files, formats, text and machine limits, shared by all floors; standard library and NumPy only."""

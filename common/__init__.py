"""Files, formats, text and machine limits shared by every floor; standard library and NumPy only."""

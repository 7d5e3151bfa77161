"""How results look: text, tables, numbers, figures, files."""

"""Commands that show, move or erase sessions."""

"""The player: a session that is steered with keys. Only film.py and bar.py can be used without textual."""

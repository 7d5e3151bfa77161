"""A session told in the terminal: sentences, facts, the player."""

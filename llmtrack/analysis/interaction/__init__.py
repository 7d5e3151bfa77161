"""What a person did in a session: pairs of prompt and answer, silence, copies, and the numbers made of them."""

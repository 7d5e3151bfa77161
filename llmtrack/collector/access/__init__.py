"""Who may do what, and how much: proofs, origins, privacy, rates, places."""

"""How long chats are."""

"""What a name contains: its numbers, and views of its bytes."""

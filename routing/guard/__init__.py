"""What is looked at before a prompt leaves: what is private, what the arms are for, what a person's rules say."""

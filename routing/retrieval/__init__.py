"""Finding the texts that are nearest to a prompt, by their words and by what they mean."""

"""What may stand in the place of a wrong word: the words to choose from, and the English that fits them in."""

"""From a caption to its words, and from words to the tokens that CLIP reads."""

"""open_clip's two towers, taken apart: text, image, the block they are made of, and the arithmetic below them."""

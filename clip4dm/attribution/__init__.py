"""How much every token pulls the text towards the image: the plain path, the fast one, the ablations' variants."""

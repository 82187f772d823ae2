"""What a synthetic street is made of: how it is seen, what stands in it, and how each thing is drawn."""

"""A packed model behind HTTP: a server whose answers are those of the classes."""

"""Golden vectors that the framework of a file computes with it, in a process of its own. This runs the file's graph."""

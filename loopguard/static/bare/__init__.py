"""libcst's nodes, made from Python's own parse: no whitespace, no punctuation, much faster than its parser.

A bare node has the fields that mean something, and knows where it stands. It keeps that place where a parsed node keeps
its parentheses or the blank lines above it: nodes have no other room, and nobody prints a bare one.

kinds         what makes nodes, and where each keeps its place
expressions   Python's expressions to bare ones
statements    Python's statements to bare ones
tree          a file's tree of them, and the function bodies that are made on demand
"""

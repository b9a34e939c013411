"""The keys of one home: which there are, how old they are, and how one takes over from another.

Every rotation is the same three moves. A new private key is made durable beside the old one. Its
public half is named in `cell.toml`, which everybody has to get before it is used. Then it takes the
old one's place. Each move is one file that is replaced as a whole, and a move that is done already
is not done again: whoever is cut off at any point, or does not remember how far it came, gives the
same order once more.
"""

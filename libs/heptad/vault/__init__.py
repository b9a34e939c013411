"""Keys that can really be destroyed: the tree of subject keys and the store of its root key.

Everything personal in a cell is sealed under a key of this room, so destroying a key here destroys
every copy of what it sealed, wherever the copies are. `KeyTree` is the door.
"""

"""`heptad privacy check`: does a running cell show anybody what only a few may read?

Secrets that exist nowhere else (canaries) are sent through every door of the cell, the good ones
and the refused ones, and then looked for in every place where they must not be: files, packets
between services, metrics, answers, processes. A search that finds nothing proves nothing unless it
could have found something, so every kind of place has a positive control: a canary that was laid
there on purpose, and must be found.
"""

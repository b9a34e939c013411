"""An attacker with every file: what is left of somebody whose data were erased.

`docs/spec/privacy.md`, "Forensics", says what an erasure is held to: nobody who has copies of every
file from before it, every file after it, raw disks and the live root key finds a payload of that
person, or that two entries are the same person's. This is the one who tries. He knows all formats
and the public log; he guesses no keys.

    loot = read_files([copies_of_before, the_home_now])     or read_image(a_raw_disk)
    attacker = Attacker(loot, entries=all_public_entries, known_ids=[…])
    attacker.payloads()    what opens
    attacker.links(of)     which of somebody's entries he knows to be one person's, and how

He is meant to be better than he needs to be: he must succeed against somebody who is not erased, or
his failure says nothing, so whoever uses him shows both.
"""

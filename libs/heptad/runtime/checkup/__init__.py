"""`heptad doctor`: is this home, this machine and this cell as they should be?"""

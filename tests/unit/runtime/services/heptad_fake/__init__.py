"""A service that does what files in its folder tell it; the supervisor's tests run it."""

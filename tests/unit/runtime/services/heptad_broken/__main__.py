"""Fails on import."""

import importlib

importlib.import_module("heptad.no_such_room")

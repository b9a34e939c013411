"""What travels between services: generated protobuf code, and the doors in and out of it.

The generated modules live in `heptad.wire.<part>.v1`. Protobuf types stop at `heptad.wire.convert`;
everything behind that door works with the frozen values of `heptad.model`.
"""

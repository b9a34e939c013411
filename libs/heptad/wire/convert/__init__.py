"""Where protobuf types stop: each module turns one part's messages into frozen values and back."""

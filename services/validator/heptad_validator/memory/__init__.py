"""What a validator remembers of requests and subjects, all of it bounded and forgotten in time."""

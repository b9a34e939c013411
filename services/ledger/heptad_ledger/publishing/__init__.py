"""From cosignatures to published checkpoints."""

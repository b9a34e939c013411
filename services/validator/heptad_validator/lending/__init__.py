"""Keys of subjects on loan: asking the vault, proving what it says, giving up in time."""

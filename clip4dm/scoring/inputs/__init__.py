"""What can be scored: `recognise` says which kind an input is, and a module each opens it as shards."""

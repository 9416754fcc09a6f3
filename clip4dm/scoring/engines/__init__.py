"""Who scores the shards: this process, or many."""

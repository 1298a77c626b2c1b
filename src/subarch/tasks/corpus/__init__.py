"""From a text corpus to shards of token blocks, in constant memory."""

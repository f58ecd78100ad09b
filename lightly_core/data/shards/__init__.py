"""Images in shards: files that hold many images each, of this machine or fetched as a whole."""

"""FroSSL."""

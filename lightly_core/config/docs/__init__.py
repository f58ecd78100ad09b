"""Help texts, pages and signatures, generated from the option classes."""

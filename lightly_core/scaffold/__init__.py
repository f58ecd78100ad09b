"""New plugins from templates: `lightly plugin new`."""

"""XML: a well-formed document without DTD and entities."""

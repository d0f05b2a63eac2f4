"""The demonstration: from nothing to personalised recommendations over HTTP, by the commands that a user would type."""

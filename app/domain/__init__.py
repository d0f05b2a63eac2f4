"""Values that everything speaks in: ids, events, contents, learners, slates, releases. No I/O."""

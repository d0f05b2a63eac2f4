"""One module per engine: its command line, its environment, its data folder, its ping."""

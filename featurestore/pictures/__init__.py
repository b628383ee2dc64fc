"""Pictures drawn by hand: SVG from plain data, with no knowledge of what the data means."""

"""Pictures of a report as Vega-Lite specifications: the HTML page and the figures for papers draw the same ones."""

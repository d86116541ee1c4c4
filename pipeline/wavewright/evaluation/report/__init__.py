"""From scores to a page that people can publish: statistics, tables, figures, template."""

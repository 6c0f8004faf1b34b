"""Speed, measured as ratios between things that take turns in the same run."""

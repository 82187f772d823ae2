"""From a claim to the figures that decide it: computed, or measured here. What they mean is for `analysis` to say."""

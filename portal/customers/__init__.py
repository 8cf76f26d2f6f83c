"""Who asks: customers, and the companies we know them by."""

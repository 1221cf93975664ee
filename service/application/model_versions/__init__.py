"""Model versions: which one a request means, and how versions roll out, retire and leave."""

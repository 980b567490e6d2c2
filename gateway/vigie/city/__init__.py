"""What the city wants to know, as pure cores over the rows that `register` and `query` hand them."""

transmla demo

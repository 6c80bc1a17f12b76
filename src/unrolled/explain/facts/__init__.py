"""What is found out: runs somebody's model and writes plain data (../schema.md)."""

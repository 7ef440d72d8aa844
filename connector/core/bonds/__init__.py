"""Bond codes and the bond master file."""

"""`python -m connector` is `kis-bond`."""

from connector.cli import main

if __name__ == "__main__":
    main()

"""Run the command line by `python -m vgg_ablate`."""

from vgg_ablate.cli import main

if __name__ == "__main__":
    main()
